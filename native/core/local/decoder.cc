// The one place that knows every decoder.
#include "local/decoder.h"

#include "coded_error.h"
#include "local/conv_decoder.h"
#include "local/linear_decoder.h"

namespace localformer {

std::unique_ptr<Decoder> CreateDecoder(const DecoderOptions& options, const FeatureShape& output,
                                       const FeatureShape& target, at::Generator& generator) {
  if (options.kind == "linear") {
    return std::make_unique<LinearDecoder>(output, target, generator);
  }
  if (options.kind == "conv") {
    if (options.hidden <= 0 || options.hidden % ConvDecoder::kGroups != 0) {
      throw CodedError("ERR_CONFIG",
                       "Expected a positive multiple of " + std::to_string(ConvDecoder::kGroups) +
                           " for `decoderHidden` but received " + std::to_string(options.hidden));
    }
    return std::make_unique<ConvDecoder>(output, target, options.hidden, generator);
  }
  throw CodedError("ERR_CONFIG", "Expected one of linear, conv for `decoder` but received \"" +
                                     options.kind + "\"");
}

}  // namespace localformer

// The one place that knows every decoder.
#include "local/decoder.h"

#include "coded_error.h"
#include "local/conv_decoder.h"
#include "local/infopro_decoder.h"
#include "local/linear_decoder.h"
#include "local/transformer_decoder.h"

namespace localformer {
namespace {

// A pixel shuffle enlarges by a whole number.
void CheckScale(const DecoderOptions& options, const AuxiliarySite& site) {
  if (site.target.height >= site.output.height && site.target.height % site.output.height == 0) {
    return;
  }
  throw CodedError("ERR_CONFIG", "The decoder " + options.kind +
                                     " needs a target whose side is a "
                                     "multiple of the module's output's " +
                                     std::to_string(site.output.height) + ", but it is " +
                                     std::to_string(site.target.height));
}

void CheckHidden(const DecoderOptions& options) {
  if (options.hidden > 0 && options.hidden % ConvDecoder::kGroups == 0) return;
  throw CodedError("ERR_CONFIG",
                   "Expected a positive multiple of " + std::to_string(ConvDecoder::kGroups) +
                       " for `decoderHidden` but received " + std::to_string(options.hidden));
}

void CheckDepth(const DecoderOptions& options) {
  if (options.depth >= 1) return;
  throw CodedError("ERR_CONFIG", "Expected 1 or more for `decoderDepth` but received " +
                                     std::to_string(options.depth));
}

void CheckIsImage(const AuxiliarySite& site) {
  if (site.target.channels == 3 && site.target.height >= site.output.height) return;
  throw CodedError("ERR_CONFIG", "The decoder infopro reconstructs only the image",
                   "Set `target` to \"image\", or choose another decoder.");
}

}  // namespace

std::unique_ptr<Decoder> CreateDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                                       at::Generator& generator) {
  if (options.kind == "linear") {
    CheckScale(options, site);
    return std::make_unique<LinearDecoder>(site.output, site.target, generator);
  }
  if (options.kind == "conv") {
    CheckHidden(options);
    return std::make_unique<ConvDecoder>(site.output, site.target, options.hidden, generator);
  }
  if (options.kind == "transformer") {
    CheckScale(options, site);
    CheckDepth(options);
    return std::make_unique<TransformerDecoder>(site, options.depth, generator);
  }
  if (options.kind == "infopro") {
    CheckIsImage(site);
    return std::make_unique<InfoProDecoder>(site.output, site.target, generator);
  }
  throw CodedError("ERR_CONFIG",
                   "Expected one of linear, conv, transformer, infopro for `decoder` but received "
                   "\"" +
                       options.kind + "\"");
}

}  // namespace localformer

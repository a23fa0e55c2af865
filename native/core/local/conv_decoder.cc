// See conv_decoder.h.
#include "local/conv_decoder.h"

#include <ATen/ATen.h>

#include "coded_error.h"

namespace localformer {
namespace {

int64_t HiddenOf(const DecoderOptions& options) {
  if (options.hidden > 0 && options.hidden % ConvDecoder::kGroups == 0) return options.hidden;
  throw CodedError("ERR_CONFIG",
                   "Expected a positive multiple of " + std::to_string(ConvDecoder::kGroups) +
                       " for `decoderHidden` but received " + std::to_string(options.hidden));
}

at::Tensor GroupNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::group_norm(x, ConvDecoder::kGroups, weight, bias, 1e-5);
}

}  // namespace

ConvDecoder::ConvDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                         at::Generator& generator)
    : interpolation_(site.output.height, site.target.height, /*align_corners=*/false),
      convolutions_(site.output.channels, HiddenOf(options), site.target.channels, GroupNorm,
                    generator) {}

at::Tensor ConvDecoder::Forward(const at::Tensor& features, const ForwardContext& context) const {
  // [B, C, H, W] in name; the bytes stay channels-last, which convolutions take as they are.
  const at::Tensor x = features.to(context.compute_type).permute({0, 3, 1, 2});
  return convolutions_.Forward(interpolation_.Forward(x), context.compute_type);
}

}  // namespace localformer

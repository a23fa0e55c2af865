// See infopro_decoder.h.
#include "local/infopro_decoder.h"

#include <ATen/ATen.h>

#include "coded_error.h"

namespace localformer {
namespace {

const FeatureShape& ImageOf(const DecoderOptions& options, const AuxiliarySite& site) {
  if (site.target.channels == 3 && site.target.height >= site.output.height) return site.target;
  throw CodedError("ERR_CONFIG", "Decoder `" + options.kind + "` gives an image, not features",
                   "Set `target` to \"image\", or use decoder linear, conv or transformer.");
}

at::Tensor BatchNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::batch_norm(x, weight, bias, /*running_mean=*/{}, /*running_var=*/{}, /*training=*/true,
                        /*momentum=*/0.0, /*eps=*/1e-5, at::globalContext().userEnabledCuDNN());
}

}  // namespace

InfoProDecoder::InfoProDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                               at::Generator& generator)
    // Unlike the decoder `conv`, InfoPro's code aligns the corners.
    : interpolation_(site.output.height, ImageOf(options, site).height, /*align_corners=*/true),
      convolutions_(site.output.channels, kHidden, site.target.channels, BatchNorm, generator) {}

at::Tensor InfoProDecoder::Forward(const at::Tensor& features,
                                   const ForwardContext& context) const {
  // [B, C, H, W] in name; the bytes stay channels-last, which convolutions take as they are.
  const at::Tensor x = features.to(context.compute_type).permute({0, 3, 1, 2});
  return convolutions_.Forward(interpolation_.Forward(x), context.compute_type);
}

}  // namespace localformer

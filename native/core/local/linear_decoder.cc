// See linear_decoder.h.
#include "local/linear_decoder.h"

#include <ATen/ATen.h>

#include "coded_error.h"

namespace localformer {
namespace {

// A pixel shuffle enlarges by a whole number.
int64_t ScaleOf(const DecoderOptions& options, const AuxiliarySite& site) {
  const int64_t output = site.output.height, target = site.target.height;
  if (target >= output && target % output == 0) return target / output;
  throw CodedError("ERR_CONFIG", "The decoder " + options.kind +
                                     " needs a target whose side is a multiple of the module's "
                                     "output's " +
                                     std::to_string(output) + ", but it is " +
                                     std::to_string(target));
}

}  // namespace

LinearDecoder::LinearDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                             at::Generator& generator)
    : scale_(ScaleOf(options, site)),
      channels_(site.target.channels),
      proj_(Linear::Create(site.output.channels, scale_ * scale_ * site.target.channels, true,
                           generator)) {}

at::Tensor LinearDecoder::Forward(const at::Tensor& features, const ForwardContext& context) const {
  const int64_t b = features.size(0), h = features.size(1), w = features.size(2), r = scale_;
  const at::Tensor tokens = proj_.Forward(features, context.compute_type).to(at::kFloat);
  if (r == 1) return tokens;
  // Channel-major as in PyTorch's pixel_shuffle: index = (c * r + dy) * r + dx.
  return tokens.view({b, h, w, channels_, r, r})
      .permute({0, 1, 4, 2, 5, 3})
      .reshape({b, h * r, w * r, channels_});
}

ParameterList LinearDecoder::Parameters() const {
  ParameterList list;
  proj_.Collect("proj", &list);
  return list;
}

}  // namespace localformer

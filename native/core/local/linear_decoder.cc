// See linear_decoder.h.
#include "local/linear_decoder.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "coded_error.h"
#include "kernels/rows.h"
#include "math/products.h"

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
  return OnGrid(tokens).reshape({b, h * r, w * r, channels_});
}

at::Tensor LinearDecoder::OnGrid(const at::Tensor& tokens) const {
  return tokens.view({tokens.size(0), tokens.size(1), tokens.size(2), channels_, scale_, scale_})
      .permute({0, 1, 4, 2, 5, 3});
}

at::Tensor LinearDecoder::LearnSquares(const at::Tensor& features, const at::Tensor& target,
                                       double weight, at::Tensor& gradient,
                                       const ForwardContext& context) const {
  c10::NoGradGuard no_grad;
  const c10::ScalarType type = context.compute_type;
  const at::Tensor x = features.to(type), weights = proj_.weight.to(type);
  // What it gives, less the target, then the gradient of that, all in one place.
  at::Tensor tokens = LinearProduct(x, weights, proj_.bias.to(type)).to(at::kFloat);
  at::Tensor on_grid = OnGrid(tokens);
  on_grid.sub_(target.view(on_grid.sizes()));
  const auto count = static_cast<double>(tokens.numel());
  const at::Tensor norm = at::linalg_vector_norm(tokens);
  tokens.mul_(2.0 * weight / count);
  const at::Tensor dtokens = tokens.to(type).view({-1, tokens.size(-1)});
  const at::Tensor rows = x.reshape({-1, x.size(-1)});
  at::Tensor dweight = proj_.weight.grad(), dbias = proj_.bias.grad();
  AddWeightGradient(dweight, dtokens, rows);
  AddTo(dbias, SumOfRows(dtokens, at::kFloat));
  proj_.weight.mutable_grad() = dweight;
  proj_.bias.mutable_grad() = dbias;
  at::Tensor added = gradient.view(rows.sizes());
  AddInputGradient(added, dtokens, weights);
  return norm;
}

ParameterList LinearDecoder::Parameters() const {
  ParameterList list;
  proj_.Collect("proj", &list);
  return list;
}

}  // namespace localformer

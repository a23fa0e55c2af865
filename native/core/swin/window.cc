// See window.h.
#include "swin/window.h"

#include <ATen/ATen.h>

namespace localformer {

at::Tensor WindowOrder(int64_t height, int64_t width, int64_t window, int64_t shift) {
  if (shift == 0 && window == width) return {};
  return at::arange(height * width, at::kInt)
      .view({height, width})
      .roll({-shift, -shift}, {0, 1})
      .view({height / window, window, width / window, window})
      .transpose(1, 2)
      .reshape({-1});
}

at::Tensor InverseOrder(const at::Tensor& order) {
  return order.defined() ? order.argsort().to(at::kInt) : order;
}

at::Tensor RelativePositionIndex(int64_t window) {
  const at::Tensor axis = at::arange(window, at::kLong);
  // Row and column of each token of the window, in row-major order.
  const at::Tensor row = axis.repeat_interleave(window);
  const at::Tensor column = axis.repeat({window});
  const at::Tensor d_row = row.unsqueeze(1) - row.unsqueeze(0) + (window - 1);
  const at::Tensor d_column = column.unsqueeze(1) - column.unsqueeze(0) + (window - 1);
  return (d_row * (2 * window - 1) + d_column).flatten().to(at::kInt);
}

at::Tensor ShiftedWindowMask(int64_t height, int64_t width, int64_t window, int64_t shift) {
  // Along one axis the shifted map has three regions: untouched, the last window's own part, and
  // what was wrapped around.
  const auto regions = [&](int64_t size) {
    at::Tensor region = at::zeros({size});
    region.slice(0, size - window, size - shift).fill_(1);
    region.slice(0, size - shift, size).fill_(2);
    return region;
  };
  const at::Tensor region = regions(height).unsqueeze(1) * 3 + regions(width).unsqueeze(0);
  const at::Tensor order = WindowOrder(height, width, window, 0);
  const at::Tensor windows = (order.defined() ? region.flatten().index_select(0, order) : region)
                                 .reshape({-1, window * window});
  const at::Tensor apart = windows.unsqueeze(1) != windows.unsqueeze(2);
  return apart.to(at::kFloat) * -100.0;
}

}  // namespace localformer

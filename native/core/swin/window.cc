// See window.h.
#include "swin/window.h"

#include <ATen/ATen.h>

namespace localformer {
namespace {

// A map [height, width] -> [windows, window^2].
at::Tensor ByWindow(const at::Tensor& map, int64_t window) {
  return map.view({map.size(0) / window, window, map.size(1) / window, window})
      .transpose(1, 2)
      .reshape({-1, window * window});
}

// 0 where two tokens were neighbours before the cyclic shift, -100 where it brought them together.
at::Tensor ShiftedWindowMask(int64_t height, int64_t width, int64_t window, int64_t shift) {
  // Along one axis the shifted map has three regions: untouched, the last window's own part, and
  // what was wrapped around.
  const auto regions = [&](int64_t size) {
    at::Tensor region = at::zeros({size});
    region.slice(0, size - window, size - shift).fill_(1);
    region.slice(0, size - shift, size).fill_(2);
    return region;
  };
  const at::Tensor windows =
      ByWindow(regions(height).unsqueeze(1) * 3 + regions(width).unsqueeze(0), window);
  const at::Tensor apart = windows.unsqueeze(1) != windows.unsqueeze(2);
  return apart.to(at::kFloat) * -100.0;
}

}  // namespace

WindowLayout LayOutWindows(int64_t height, int64_t width, int64_t window, int64_t shift,
                           int64_t heads) {
  WindowLayout layout;
  layout.heads = heads;
  const at::Tensor map = at::arange(height * width, at::kLong).view({height, width});
  layout.token_at = ByWindow(map.roll({-shift, -shift}, {0, 1}), window);
  const at::Tensor places = layout.token_at.flatten().argsort();
  layout.window_of = places.div(window * window, "floor");
  layout.place_of = places.remainder(window * window);
  if (shift != 0) layout.mask = ShiftedWindowMask(height, width, window, shift);
  return layout;
}

at::Tensor RelativePositionIndex(int64_t window) {
  const at::Tensor axis = at::arange(window, at::kLong);
  // Row and column of each token of the window, in row-major order.
  const at::Tensor row = axis.repeat_interleave(window);
  const at::Tensor column = axis.repeat({window});
  const at::Tensor d_row = row.unsqueeze(1) - row.unsqueeze(0) + (window - 1);
  const at::Tensor d_column = column.unsqueeze(1) - column.unsqueeze(0) + (window - 1);
  return (d_row * (2 * window - 1) + d_column).flatten();
}

}  // namespace localformer

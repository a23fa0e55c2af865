// See depth_coins.h.
#include "swin/depth_coins.h"

#include <ATen/ATen.h>

#include <vector>

#include "memory/upload.h"

namespace localformer {

DepthCoins::DepthCoins(const Segment& segment, int64_t batch, at::Generator& generator,
                       c10::Device device, c10::ScalarType type) {
  std::vector<double> kept;
  for (const Unit* unit : segment) {
    if (unit->drop_path() == 0.0) continue;
    first_rows_[unit] = static_cast<int64_t>(kept.size());
    kept.insert(kept.end(), Unit::kBranches, 1.0 - unit->drop_path());
  }
  if (kept.empty()) return;
  const at::Tensor drawn = at::empty({static_cast<int64_t>(kept.size()), batch}, at::kFloat);
  for (size_t row = 0; row < kept.size(); ++row) {
    // Survivors are scaled so that the expectation stays.
    drawn[static_cast<int64_t>(row)].bernoulli_(kept[row], generator).div_(kept[row]);
  }
  values_ = Upload(drawn.to(type), device);
}

at::Tensor DepthCoins::Of(const Unit& unit, int64_t branch) const {
  const auto row = first_rows_.find(&unit);
  return row == first_rows_.end() ? at::Tensor() : values_[row->second + branch];
}

}  // namespace localformer

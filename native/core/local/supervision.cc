// See supervision.h.
#include "local/supervision.h"

#include <ATen/ATen.h>

#include "memory/upload.h"
#include "swin/embedding.h"

namespace localformer {

Supervision Supervision::Slice(int64_t begin, int64_t end) const {
  Supervision part = *this;
  part.labels = labels.slice(0, begin, end);
  if (other_labels.defined()) {
    part.other_labels = other_labels.slice(0, begin, end);
    part.label_shares = label_shares.slice(0, begin, end);
  }
  if (patches.defined()) part.patches = patches.slice(0, begin, end);
  return part;
}

at::Tensor Supervision::Pixels(const at::Tensor& normalised, int64_t patch) const {
  const auto channels = [&](const std::array<double, 3>& values) {
    return Upload(at::tensor(at::ArrayRef<double>(values), at::kFloat), normalised.device());
  };
  return JoinPatches(normalised, patch).mul(channels(std)).add_(channels(mean));
}

Supervision SupervisionOf(const BatchInput& batch, c10::Device device) {
  Supervision supervision;
  supervision.mean = batch.options.mean;
  supervision.std = batch.options.std;
  const MixedLabels mixed = batch.LabelsAfterMixing();
  supervision.labels = LabelTensor(mixed.labels, device);
  if (mixed.others.empty()) return supervision;
  supervision.other_labels = LabelTensor(mixed.others, device);
  supervision.label_shares =
      Upload(at::tensor(at::ArrayRef<float>(mixed.shares), at::kFloat), device);
  return supervision;
}

at::Tensor LabelTensor(const std::vector<int64_t>& labels, c10::Device device) {
  return Upload(at::tensor(at::ArrayRef<int64_t>(labels), at::kLong), device);
}

}  // namespace localformer

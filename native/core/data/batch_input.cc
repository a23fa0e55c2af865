// See batch_input.h.
#include "data/batch_input.h"

#include <ATen/ATen.h>

#include "data/mixing.h"
#include "memory/upload.h"

namespace localformer {

void BatchInput::Augment(const std::atomic<bool>* cancelled) {
  if (pixels.empty()) return;
  augmented = AugmentPixels(pixels.data(), count, height, width, options, cancelled);
  pixels = {};
}

int64_t BatchInput::ImageBytes() const {
  const size_t bytes = augmented.defined() ? augmented.nbytes() : pixels.size();
  return static_cast<int64_t>(bytes + images.size() * sizeof(float));
}

at::Tensor BatchInput::Images(c10::Device device) const {
  if (augmented.defined()) return ToNetworkInput(augmented, options, device);
  if (!pixels.empty()) {
    const at::Tensor bytes =
        options.augment.changes_pixels()
            ? AugmentPixels(pixels.data(), count, height, width, options, nullptr)
            : at::from_blob(const_cast<uint8_t*>(pixels.data()), {count, 3, height, width},
                            at::TensorOptions().dtype(at::kByte));
    return ToNetworkInput(bytes, options, device);
  }
  const at::Tensor floats =
      at::from_blob(const_cast<float*>(images.data()), {count, 3, height, width},
                    at::TensorOptions().dtype(at::kFloat));
  return device.is_cpu() ? floats.clone() : Upload(floats, device);
}

MixedLabels BatchInput::LabelsAfterMixing() const {
  MixedLabels mixed{labels, other_labels, label_shares};
  if (!options.augment.mixes() || labels.empty()) return mixed;
  const std::vector<Mix> mixes = MixesOf(options, count);
  mixed.labels.resize(mixes.size());
  mixed.others.resize(mixes.size());
  mixed.shares.resize(mixes.size());
  for (size_t i = 0; i < mixes.size(); ++i) {
    const int64_t other = labels[static_cast<size_t>(mixes[i].other)];
    const bool own_is_larger = mixes[i].share >= 0.5F;
    mixed.labels[i] = own_is_larger ? labels[i] : other;
    mixed.others[i] = own_is_larger ? other : labels[i];
    mixed.shares[i] = own_is_larger ? mixes[i].share : 1.0F - mixes[i].share;
  }
  return mixed;
}

}  // namespace localformer

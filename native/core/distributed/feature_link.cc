// See feature_link.h.
#include "distributed/feature_link.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "coded_error.h"

namespace localformer {
namespace {

// A message: a header of doubles, then the tensors that it announces, each with a tag of its own.
enum Part : int { kHeader, kFeatures, kLabels, kOtherLabels, kLabelShares, kPatches, kParts };

// What stands where in a header.
enum Field : int64_t {
  kBatch,       // Then height, width, channels.
  kHalf = 4,    // Do features travel in bfloat16?
  kMixed,       // Are labels mixed?
  kPatchShape,  // Height, width, channels; zeros without patches.
  kMean = 9,
  kStd = 12,
  kStops = 15,
  kFields = 16,
};

}  // namespace

struct FeatureReceiver::Form {
  explicit Form(const at::Tensor& header) {
    const double* at = header.const_data_ptr<double>();
    const auto integer = [&](int64_t field) { return static_cast<int64_t>(at[field]); };
    features = {integer(kBatch), integer(kBatch + 1), integer(kBatch + 2), integer(kBatch + 3)};
    patches = {integer(kBatch), integer(kPatchShape), integer(kPatchShape + 1),
               integer(kPatchShape + 2)};
    is_half = at[kHalf] != 0.0;
    is_mixed = at[kMixed] != 0.0;
  }
  bool has_patches() const { return patches[1] > 0; }
  bool operator==(const Form& other) const {
    return features == other.features && patches == other.patches && is_half == other.is_half &&
           is_mixed == other.is_mixed;
  }

  std::vector<int64_t> features, patches;
  bool is_half = false, is_mixed = false;
};

void FeatureSender::Send(const Handover& handover) {
  c10::NoGradGuard no_grad;
  const at::Tensor& features = handover.features;
  const Supervision& own = handover.supervision;
  const at::Tensor header = at::zeros({kFields}, at::kDouble);
  double* at = header.mutable_data_ptr<double>();
  for (int64_t i = 0; i < 4; ++i) at[kBatch + i] = static_cast<double>(features.size(i));
  at[kHalf] = type_ == at::kBFloat16 ? 1.0 : 0.0;
  at[kMixed] = own.other_labels.defined() ? 1.0 : 0.0;
  for (int64_t i = 0; own.patches.defined() && i < 3; ++i) {
    at[kPatchShape + i] = static_cast<double>(own.patches.size(i + 1));
  }
  std::copy(own.mean.begin(), own.mean.end(), at + kMean);
  std::copy(own.std.begin(), own.std.end(), at + kStd);
  at[kStops] = handover.stops ? 1.0 : 0.0;
  std::vector<at::Tensor> parts(kParts);
  parts[kHeader] = header;
  parts[kFeatures] = features.to(type_);
  parts[kLabels] = own.labels;
  parts[kOtherLabels] = own.other_labels;
  parts[kLabelShares] = own.label_shares;
  parts[kPatches] = own.patches;
  std::vector<Transfer> transfers;
  for (int part = 0; part < kParts; ++part) {
    const at::Tensor& values = parts[static_cast<size_t>(part)];
    if (!values.defined()) continue;
    transfers.push_back(place_.among->Send(values.contiguous(), place_.peer, place_.tag + part));
  }
  in_flight_.push_back(std::move(transfers));
  while (static_cast<int64_t>(in_flight_.size()) > most_in_flight_) {
    for (Transfer& transfer : in_flight_.front()) transfer.Wait();
    in_flight_.pop_front();
  }
}

void FeatureReceiver::Expect(const Form& form, Message* message) {
  const auto floats = at::TensorOptions().dtype(at::kFloat);
  const at::IntArrayRef batch(form.features.data(), 1);
  message->parts.resize(kParts);
  message->parts[kFeatures] =
      at::empty(form.features, floats.dtype(form.is_half ? at::kBFloat16 : at::kFloat));
  message->parts[kLabels] = at::empty(batch, floats.dtype(at::kLong));
  if (form.is_mixed) {
    message->parts[kOtherLabels] = at::empty(batch, floats.dtype(at::kLong));
    message->parts[kLabelShares] = at::empty(batch, floats);
  }
  if (form.has_patches()) message->parts[kPatches] = at::empty(form.patches, floats);
  for (int part = kFeatures; part < kParts; ++part) {
    const at::Tensor& values = message->parts[static_cast<size_t>(part)];
    if (!values.defined()) continue;
    message->transfers.push_back(place_.among->Receive(values, place_.peer, place_.tag + part));
  }
}

Handover FeatureReceiver::Receive() {
  c10::NoGradGuard no_grad;
  const auto begun = [this] {
    auto message = std::make_unique<Message>();
    message->header = at::zeros({kFields}, at::kDouble);
    message->transfers.push_back(
        place_.among->Receive(message->header, place_.peer, place_.tag + kHeader));
    return message;
  };
  const bool was_expected = next_ != nullptr;
  const std::unique_ptr<Message> message = was_expected ? std::move(next_) : begun();
  message->transfers.front().Wait();
  const Form form(message->header);
  if (!was_expected) {
    Expect(form, message.get());
  } else if (!(form == *message->form)) {
    throw CodedError("ERR_SHAPE",
                     "Expected a batch of " + std::to_string(message->parts[kFeatures].size(0)) +
                         " samples, as the one before, but received one of " +
                         std::to_string(form.features[0]),
                     "Batches that are handed from rank to rank all have the same size and the "
                     "same augmentation.");
  }
  for (Transfer& transfer : message->transfers) transfer.Wait();
  Handover handover;
  handover.features = message->parts[kFeatures].to(at::kFloat);
  handover.supervision.labels = message->parts[kLabels];
  handover.supervision.other_labels = message->parts[kOtherLabels];
  handover.supervision.label_shares = message->parts[kLabelShares];
  handover.supervision.patches = message->parts[kPatches];
  const double* at = message->header.const_data_ptr<double>();
  std::copy(at + kMean, at + kMean + 3, handover.supervision.mean.begin());
  std::copy(at + kStd, at + kStd + 3, handover.supervision.std.begin());
  handover.stops = at[kStops] != 0.0;
  if (ahead_) {
    next_ = begun();
    next_->form = std::make_shared<const Form>(form);
    Expect(form, next_.get());
  }
  return handover;
}

}  // namespace localformer

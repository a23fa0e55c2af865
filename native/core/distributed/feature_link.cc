// See feature_link.h.
#include "distributed/feature_link.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "coded_error.h"

namespace localformer {
namespace {

// A message: a header of doubles in host memory, and the tensors that it announces.
enum Part : int { kHeader, kFeatures, kLabels, kOtherLabels, kLabelShares, kPatches, kParts };

// What stands where in a header.
enum Field : int64_t {
  kBatch,       // Then height, width, channels.
  kHalf = 4,    // Do features travel in bfloat16?
  kLabelForm,   // kMixed, kOnHost or both, added up.
  kPatchShape,  // Height, width, channels; zeros without patches.
  kMean = 9,
  kStd = 12,
  kStops = 15,
  kFields = 16,
};
// Labels are mixed; they are in host memory, wherever features are.
constexpr int kMixed = 1, kOnHost = 2;

CodedError UnlikeTheLast(int64_t wanted, int64_t given) {
  return CodedError("ERR_SHAPE",
                    "Expected a batch of " + std::to_string(wanted) +
                        " samples, as the one before, but received one of " + std::to_string(given),
                    "Batches that are handed from rank to rank all have the same size and the "
                    "same mixing of labels.");
}

// Those that are there and on a card, or in host memory, in their order.
std::vector<at::Tensor> Of(const std::vector<at::Tensor>& parts, bool on_card) {
  std::vector<at::Tensor> own;
  std::copy_if(
      parts.begin() + kFeatures, parts.end(), std::back_inserter(own),
      [on_card](const at::Tensor& part) { return part.defined() && part.is_cpu() != on_card; });
  return own;
}

}  // namespace

struct FeatureReceiver::Form {
  explicit Form(const at::Tensor& header) {
    const double* at = header.const_data_ptr<double>();
    const auto integer = [&](int64_t field) { return static_cast<int64_t>(at[field]); };
    features = {integer(kBatch), integer(kBatch + 1), integer(kBatch + 2), integer(kBatch + 3)};
    patches = {integer(kBatch), integer(kPatchShape), integer(kPatchShape + 1),
               integer(kPatchShape + 2)};
    is_half = at[kHalf] != 0.0;
    is_mixed = (integer(kLabelForm) & kMixed) != 0;
    has_host_labels = (integer(kLabelForm) & kOnHost) != 0;
  }
  bool has_patches() const { return patches[1] > 0; }
  bool operator==(const Form& other) const {
    return features == other.features && patches == other.patches && is_half == other.is_half &&
           is_mixed == other.is_mixed && has_host_labels == other.has_host_labels;
  }

  std::vector<int64_t> features, patches;
  bool is_half = false, is_mixed = false, has_host_labels = false;
};

FeatureSender::~FeatureSender() {
  for (std::vector<Transfer>& transfers : in_flight_) {
    for (Transfer& transfer : transfers) place_.among->Keep(std::move(transfer));
  }
}

void FeatureSender::Check(const Supervision& supervision) {
  if (!place_.device.is_cpu()) return;
  const std::vector<int64_t> like = {supervision.labels.size(0),
                                     supervision.other_labels.defined()};
  if (!like_) like_ = like;
  if (like != *like_) throw UnlikeTheLast(like_->front(), like.front());
}

void FeatureSender::Send(const Handover& handover) {
  c10::NoGradGuard no_grad;
  const at::Tensor& features = handover.features;
  const Supervision& own = handover.supervision;
  const at::Tensor header = at::zeros({kFields}, at::kDouble);
  double* at = header.mutable_data_ptr<double>();
  for (int64_t i = 0; i < 4; ++i) at[kBatch + i] = static_cast<double>(features.size(i));
  at[kHalf] = type_ == at::kBFloat16 ? 1.0 : 0.0;
  at[kLabelForm] = (own.other_labels.defined() ? kMixed : 0) + (own.labels.is_cpu() ? kOnHost : 0);
  for (int64_t i = 0; own.patches.defined() && i < 3; ++i) {
    at[kPatchShape + i] = static_cast<double>(own.patches.size(i + 1));
  }
  std::copy(own.mean.begin(), own.mean.end(), at + kMean);
  std::copy(own.std.begin(), own.std.end(), at + kStd);
  at[kStops] = handover.stops ? 1.0 : 0.0;
  std::vector<at::Tensor> parts(kParts);
  parts[kFeatures] = features.to(type_);
  parts[kLabels] = own.labels;
  parts[kOtherLabels] = own.other_labels;
  parts[kLabelShares] = own.label_shares;
  parts[kPatches] = own.patches;
  for (at::Tensor& part : parts) {
    if (part.defined()) part = part.contiguous();
  }
  std::vector<Transfer> transfers;
  // The header last: who has read it finds the rest on its way.
  for (const bool on_card : {true, false}) {
    std::vector<at::Tensor> values = Of(parts, on_card);
    if (values.empty()) continue;
    transfers.push_back(
        place_.among->Send(std::move(values), place_.peer, place_.channel, kFeatures));
  }
  transfers.push_back(place_.among->Send({header}, place_.peer, place_.channel, kHeader));
  in_flight_.push_back(std::move(transfers));
  while (static_cast<int64_t>(in_flight_.size()) > most_in_flight_) {
    for (Transfer& transfer : in_flight_.front()) transfer.Wait();
    in_flight_.pop_front();
  }
}

void FeatureReceiver::Expect(const Form& form, Message* message) {
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(place_.device);
  const c10::Device labels = form.has_host_labels ? c10::Device(c10::kCPU) : place_.device;
  const at::IntArrayRef batch(form.features.data(), 1);
  message->parts.resize(kParts);
  message->parts[kFeatures] =
      at::empty(form.features, floats.dtype(form.is_half ? at::kBFloat16 : at::kFloat));
  message->parts[kLabels] = at::empty(batch, floats.dtype(at::kLong).device(labels));
  if (form.is_mixed) {
    message->parts[kOtherLabels] = at::empty(batch, floats.dtype(at::kLong));
    message->parts[kLabelShares] = at::empty(batch, floats);
  }
  if (form.has_patches()) message->parts[kPatches] = at::empty(form.patches, floats);
  for (const bool on_card : {true, false}) {
    std::vector<at::Tensor> values = Of(message->parts, on_card);
    if (values.empty()) continue;
    message->transfers.push_back(
        place_.among->Receive(std::move(values), place_.peer, place_.channel, kFeatures));
  }
  message->form = std::make_shared<const Form>(form);
}

std::unique_ptr<FeatureReceiver::Message> FeatureReceiver::Begun() {
  auto message = std::make_unique<Message>();
  message->header = at::zeros({kFields}, at::kDouble);
  message->header_transfer =
      place_.among->Receive({message->header}, place_.peer, place_.channel, kHeader);
  return message;
}

void FeatureReceiver::Progress() {
  if (place_.device.is_cpu() || next_ == nullptr || next_->form != nullptr) return;
  if (!next_->header_transfer.HasEnded()) return;
  c10::NoGradGuard no_grad;
  next_->header_transfer.Wait();
  Expect(Form(next_->header), next_.get());
}

Handover FeatureReceiver::Receive() {
  c10::NoGradGuard no_grad;
  const std::unique_ptr<Message> message = next_ != nullptr ? std::move(next_) : Begun();
  message->header_transfer.Wait();
  const Form form(message->header);
  if (message->form == nullptr) {
    Expect(form, message.get());
  } else if (!(form == *message->form)) {
    throw UnlikeTheLast(message->parts[kFeatures].size(0), form.features[0]);
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
    next_ = Begun();
    if (place_.device.is_cpu()) {
      Expect(form, next_.get());
    } else {
      next_->header_transfer.WaitAside();
    }
  }
  return handover;
}

}  // namespace localformer

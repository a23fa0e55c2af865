// Features on their way from the rank that has a module to the rank that has the next one, with the
// labels that they are learned from. Nothing comes back: a module needs nothing of those behind it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "distributed/communicator.h"
#include "local/supervision.h"

namespace localformer {

// What a rank hands on.
struct Handover {
  at::Tensor features;  // Float [B, H, W, C], detached.
  Supervision supervision;
  bool stops = false;  // The training ends behind this batch.
};

// Batches of one kind between two ranks.
struct LinkPlace {
  std::shared_ptr<Communicator> among;
  int peer = 0;
  Channel channel = Channel::kTraining;
  c10::Device device = c10::kCPU;  // Where they are, at both ends.
};

class FeatureSender {
 public:
  // `type`: what features travel in, float32 or bfloat16. `most_in_flight`: so many batches may be
  // on their way when Send returns; each holds its features.
  FeatureSender(LinkPlace place, c10::ScalarType type, int64_t most_in_flight)
      : place_(std::move(place)), type_(type), most_in_flight_(most_in_flight) {}
  // What is on its way arrives all the same.
  ~FeatureSender();
  FeatureSender(const FeatureSender&) = delete;
  FeatureSender& operator=(const FeatureSender&) = delete;

  // Before a batch is learned from: throws CodedError ERR_SHAPE where the next rank, which is ready
  // for a batch like the last one, could not take it.
  void Check(const Supervision& supervision);

  // `handover.features`: nobody writes into them later.
  void Send(const Handover& handover);

 private:
  LinkPlace place_;
  c10::ScalarType type_;
  int64_t most_in_flight_;
  std::deque<std::vector<Transfer>> in_flight_;
  std::optional<std::vector<int64_t>> like_;  // Of the first batch what decides its shape.
};

class FeatureReceiver {
 public:
  // `ahead`: the next batch comes while this one is learned from; on the CPU it has to have the
  // same shape.
  FeatureReceiver(LinkPlace place, bool ahead) : place_(std::move(place)), ahead_(ahead) {}

  Handover Receive();

  // To be called now and then while a batch is learned from, on a card: there the next one is asked
  // for once its header has come. A card that waits for what may not be sent, as behind the last
  // batch, would hold up whoever waits for the whole card, and CUDA does so where it takes memory
  // or loads a kernel.
  void Progress();

 private:
  // Shapes of what a header announces.
  struct Form;
  // One on its way.
  struct Message {
    at::Tensor header;
    Transfer header_transfer;
    std::shared_ptr<const Form> form;  // That it is expected to have; none until that is known.
    std::vector<at::Tensor> parts;
    std::vector<Transfer> transfers;
  };

  std::unique_ptr<Message> Begun();
  void Expect(const Form& form, Message* message);

  LinkPlace place_;
  bool ahead_;
  std::unique_ptr<Message> next_;
};

}  // namespace localformer

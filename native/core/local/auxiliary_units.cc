// See auxiliary_units.h.
#include "local/auxiliary_units.h"

#include <utility>

#include "swin/embedding.h"

namespace localformer {

AuxiliaryUnits AuxiliaryUnits::Blocks(const FeatureShape& input, const BlockOptions& stage,
                                      int64_t depth, at::Generator& generator) {
  AuxiliaryUnits units(input);
  for (int64_t i = 0; i < depth; ++i) {
    units.AddBlock("blocks." + std::to_string(i), stage, /*shifted=*/i % 2 == 1, generator);
  }
  return units;
}

void AuxiliaryUnits::AddMerging(const std::string& name, at::Generator& generator) {
  Add(std::make_unique<PatchMerging>(name, output_, generator));
}

void AuxiliaryUnits::AddBlock(const std::string& name, BlockOptions stage, bool shifted,
                              at::Generator& generator) {
  stage.shifted = shifted;
  stage.drop_path = 0.0;
  Add(std::make_unique<SwinBlock>(name, output_, stage, generator));
}

void AuxiliaryUnits::Add(std::unique_ptr<Unit> unit) {
  output_ = unit->output();
  units_.push_back(std::move(unit));
}

at::Tensor AuxiliaryUnits::Forward(const at::Tensor& x, const ForwardContext& context) const {
  ForwardContext own = context;
  own.training = false;
  own.residual_energy = nullptr;
  Segment segment;
  for (const auto& unit : units_) segment.push_back(unit.get());
  return ForwardSegment(segment, x, own);
}

ParameterList AuxiliaryUnits::Parameters() const {
  ParameterList list;
  for (const auto& unit : units_) {
    for (auto& parameter : unit->Parameters()) list.push_back(std::move(parameter));
  }
  return list;
}

void AuxiliaryUnits::MoveBuffers(c10::Device device) {
  for (const auto& unit : units_) unit->MoveBuffers(device);
}

}  // namespace localformer

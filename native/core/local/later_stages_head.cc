// See later_stages_head.h.
#include "local/later_stages_head.h"

#include <utility>

namespace localformer {
namespace {

AuxiliaryUnits LaterStages(const AuxiliarySite& site, at::Generator& generator) {
  AuxiliaryUnits units(site.output);
  for (size_t i = 1; i < site.stages.size(); ++i) {
    const std::string name = "stages." + std::to_string(i - 1);
    units.AddMerging(name + ".merging", generator);
    units.AddBlock(name + ".block", site.stages[i], /*shifted=*/false, generator);
  }
  return units;
}

}  // namespace

LaterStagesHead::LaterStagesHead(const AuxiliarySite& site, at::Generator& generator)
    : stages_(LaterStages(site, generator)),
      linear_(stages_.output().channels, site.classes, generator) {}

at::Tensor LaterStagesHead::Forward(const at::Tensor& features,
                                    const ForwardContext& context) const {
  return linear_.Forward(stages_.Forward(features, context), context);
}

ParameterList LaterStagesHead::Parameters() const {
  ParameterList list = stages_.Parameters();
  for (auto& parameter : linear_.Parameters()) list.push_back(std::move(parameter));
  return list;
}

}  // namespace localformer

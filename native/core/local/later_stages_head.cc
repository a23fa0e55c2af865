// See later_stages_head.h.
#include "local/later_stages_head.h"

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

LaterStagesHead::LaterStagesHead(const HeadOptions&, const AuxiliarySite& site,
                                 at::Generator& generator)
    : UnitsHead(LaterStages(site, generator), site.classes, generator) {}

}  // namespace localformer

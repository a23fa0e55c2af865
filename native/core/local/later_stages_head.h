// Head `later-stages`: for every later stage one patch merging and one Swin block, then as
// `linear`; a small copy of the rest of the network (AugLocal, Ma et al., arXiv 2402.17318).
// [B, H, W, C] -> [B, classes].
// Parameters `stages.{i}.merging.*`, `stages.{i}.block.*`, `norm.*`, `fc.*`.
#pragma once

#include "local/units_head.h"

namespace localformer {

class LaterStagesHead : public UnitsHead {
 public:
  LaterStagesHead(const HeadOptions& options, const AuxiliarySite& site, at::Generator& generator);
};

}  // namespace localformer

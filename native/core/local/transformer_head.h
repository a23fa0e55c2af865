// Head `transformer`: Swin blocks on the output grid, then as `linear`.
// [B, H, W, C] -> [B, classes]. Parameters `blocks.{i}.*`, `norm.*`, `fc.*`.
#pragma once

#include "local/units_head.h"

namespace localformer {

class TransformerHead : public UnitsHead {
 public:
  TransformerHead(const AuxiliarySite& site, int64_t depth, at::Generator& generator);
};

}  // namespace localformer

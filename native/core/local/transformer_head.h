// Head `transformer`: Swin blocks on the output grid, then as `linear`.
// [B, H, W, C] -> [B, classes]. Parameters `blocks.{i}.*`, `norm.*`, `fc.*`.
#pragma once

#include "local/units_head.h"

namespace localformer {

class TransformerHead : public UnitsHead {
 public:
  // Throws CodedError ERR_CONFIG where there is no block.
  TransformerHead(const HeadOptions& options, const AuxiliarySite& site, at::Generator& generator);
};

}  // namespace localformer

// Where in the network an auxiliary head or decoder stands, and what it has to give.
#pragma once

#include <vector>

#include "local/losses.h"
#include "swin/block.h"
#include "swin/model.h"
#include "swin/unit.h"

namespace localformer {

struct AuxiliarySite {
  FeatureShape output;  // What the module gives.
  FeatureShape target;  // What a decoder gives: the module's input grid, or {side, side, 3} pixels.
  int64_t classes = 0;
  // How the network builds blocks in the stage of `output` and in every later one.
  std::vector<BlockOptions> stages;
};

// Where those of the module of units [begin, end) stand.
AuxiliarySite SiteOf(const SwinModel& model, size_t begin, size_t end, Target target);

}  // namespace localformer

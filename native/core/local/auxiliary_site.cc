// See auxiliary_site.h.
#include "local/auxiliary_site.h"

namespace localformer {

AuxiliarySite SiteOf(const SwinModel& model, size_t begin, size_t end, Target target) {
  const SwinOptions& o = model.options();
  AuxiliarySite site;
  site.output = model.units()[end - 1]->output();
  site.target = target == Target::kImage ? FeatureShape{o.image_size, o.image_size, 3}
                                         : model.units()[begin]->input();
  site.classes = o.classes;
  // The width doubles with every stage.
  size_t stage = 0;
  while (stage + 1 < o.depths.size() && (o.embed_dim << stage) < site.output.channels) ++stage;
  for (; stage < o.depths.size(); ++stage) site.stages.push_back(model.StageBlock(stage));
  return site;
}

}  // namespace localformer

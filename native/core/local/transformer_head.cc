// See transformer_head.h.
#include "local/transformer_head.h"

namespace localformer {

TransformerHead::TransformerHead(const AuxiliarySite& site, int64_t depth, at::Generator& generator)
    : UnitsHead(AuxiliaryUnits::Blocks(site.output, site.stages.front(), depth, generator),
                site.classes, generator) {}

}  // namespace localformer

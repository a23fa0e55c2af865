// See transformer_head.h.
#include "local/transformer_head.h"

#include "fields.h"

namespace localformer {

TransformerHead::TransformerHead(const HeadOptions& options, const AuxiliarySite& site,
                                 at::Generator& generator)
    : UnitsHead(AuxiliaryUnits::Blocks(site.output, site.stages.front(),
                                       AtLeast(1, options.depth, "headDepth"), generator),
                site.classes, generator) {}

}  // namespace localformer

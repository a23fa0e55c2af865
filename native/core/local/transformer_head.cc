// See transformer_head.h.
#include "local/transformer_head.h"

#include <utility>

namespace localformer {

TransformerHead::TransformerHead(const AuxiliarySite& site, int64_t depth, at::Generator& generator)
    : blocks_(AuxiliaryUnits::Blocks(site.output, site.stages.front(), depth, generator)),
      linear_(site.output.channels, site.classes, generator) {}

at::Tensor TransformerHead::Forward(const at::Tensor& features,
                                    const ForwardContext& context) const {
  return linear_.Forward(blocks_.Forward(features, context), context);
}

ParameterList TransformerHead::Parameters() const {
  ParameterList list = blocks_.Parameters();
  for (auto& parameter : linear_.Parameters()) list.push_back(std::move(parameter));
  return list;
}

}  // namespace localformer

// See transformer_decoder.h.
#include "local/transformer_decoder.h"

#include <utility>

#include "fields.h"

namespace localformer {

TransformerDecoder::TransformerDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                                       at::Generator& generator)
    : blocks_(AuxiliaryUnits::Blocks(site.output, site.stages.front(),
                                     AtLeast(1, options.depth, "decoderDepth"), generator)),
      norm_(LayerNorm::Create(site.output.channels)),
      expansion_(options, site, generator) {}

at::Tensor TransformerDecoder::Forward(const at::Tensor& features,
                                       const ForwardContext& context) const {
  return expansion_.Forward(norm_.Forward(blocks_.Forward(features, context)), context);
}

ParameterList TransformerDecoder::Parameters() const {
  ParameterList list = blocks_.Parameters();
  norm_.Collect("norm", &list);
  for (auto& parameter : expansion_.Parameters()) list.push_back(std::move(parameter));
  return list;
}

}  // namespace localformer

// The one place that knows every auxiliary head.
#include "local/head.h"

#include "fields.h"
#include "local/later_stages_head.h"
#include "local/linear_head.h"
#include "local/mlp_head.h"
#include "local/transformer_head.h"

namespace localformer {
namespace {

struct Kind {
  const char* word;
  std::unique_ptr<Head> (*create)(const HeadOptions&, const AuxiliarySite&, at::Generator&);
};

template <typename H>
std::unique_ptr<Head> Make(const HeadOptions& options, const AuxiliarySite& site,
                           at::Generator& generator) {
  return std::make_unique<H>(options, site, generator);
}

constexpr Kind kKinds[] = {{"linear", Make<LinearHead>},
                           {"mlp", Make<MlpHead>},
                           {"transformer", Make<TransformerHead>},
                           {"later-stages", Make<LaterStagesHead>}};

}  // namespace

std::unique_ptr<Head> CreateHead(const HeadOptions& options, const AuxiliarySite& site,
                                 at::Generator& generator) {
  return RowOf(kKinds, "head", options.kind).create(options, site, generator);
}

}  // namespace localformer

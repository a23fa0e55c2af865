// The one place that knows every decoder.
#include "local/decoder.h"

#include "fields.h"
#include "local/conv_decoder.h"
#include "local/infopro_decoder.h"
#include "local/linear_decoder.h"
#include "local/transformer_decoder.h"

namespace localformer {
namespace {

struct Kind {
  const char* word;
  std::unique_ptr<Decoder> (*create)(const DecoderOptions&, const AuxiliarySite&, at::Generator&);
};

template <typename D>
std::unique_ptr<Decoder> Make(const DecoderOptions& options, const AuxiliarySite& site,
                              at::Generator& generator) {
  return std::make_unique<D>(options, site, generator);
}

constexpr Kind kKinds[] = {{"linear", Make<LinearDecoder>},
                           {"conv", Make<ConvDecoder>},
                           {"transformer", Make<TransformerDecoder>},
                           {"infopro", Make<InfoProDecoder>}};

}  // namespace

std::unique_ptr<Decoder> CreateDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                                       at::Generator& generator) {
  return RowOf(kKinds, "decoder", options.kind).create(options, site, generator);
}

}  // namespace localformer

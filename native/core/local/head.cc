// The one place that knows every auxiliary head.
#include "local/head.h"

#include "coded_error.h"
#include "local/later_stages_head.h"
#include "local/linear_head.h"
#include "local/mlp_head.h"
#include "local/transformer_head.h"

namespace localformer {
namespace {

CodedError OutOfRange(const std::string& expected, const std::string& option, int64_t received) {
  return CodedError("ERR_CONFIG", "Expected " + expected + " for `" + option + "` but received " +
                                      std::to_string(received));
}

}  // namespace

std::unique_ptr<Head> CreateHead(const HeadOptions& options, const AuxiliarySite& site,
                                 at::Generator& generator) {
  const int64_t channels = site.output.channels;
  if (options.kind == "linear") {
    return std::make_unique<LinearHead>(channels, site.classes, generator);
  }
  if (options.kind == "mlp") {
    if (options.hidden < 0) throw OutOfRange("0 or more", "headHidden", options.hidden);
    const int64_t hidden = options.hidden > 0 ? options.hidden : channels;
    return std::make_unique<MlpHead>(channels, hidden, site.classes, generator);
  }
  if (options.kind == "transformer") {
    if (options.depth < 1) throw OutOfRange("1 or more", "headDepth", options.depth);
    return std::make_unique<TransformerHead>(site, options.depth, generator);
  }
  if (options.kind == "later-stages") return std::make_unique<LaterStagesHead>(site, generator);
  throw CodedError("ERR_CONFIG",
                   "Expected one of linear, mlp, transformer, later-stages for `head` but received "
                   "\"" +
                       options.kind + "\"");
}

}  // namespace localformer

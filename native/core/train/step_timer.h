// How long a piece of a step takes here.
#pragma once

#include <c10/core/Device.h>

#include <functional>

namespace localformer {

// Seconds of `run`: the less of two behind one that warms up. In a dry run and on a card, which may
// be a simulated one, in proportion to its products: shares are what is asked for then.
double SecondsOf(c10::Device device, const std::function<void()>& run);

}  // namespace localformer

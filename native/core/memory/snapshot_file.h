// A snapshot of an allocator as the file that torch.cuda.memory._dump_snapshot writes: a pickle of
// plain lists and dictionaries, for pytorch.org/memory_viz and torch.cuda._memory_viz.
#pragma once

#include <string>

#include "allocation_history.h"

namespace localformer {

// Writes it whole under another name and renames it. Frames are {filename: module, name: `phase:
// operator`, line: 0}, the innermost operator first. Throws CodedError ERR_CONFIG where the file
// cannot be written.
void WriteSnapshot(const MemorySnapshot& snapshot, const std::string& file);

}  // namespace localformer

// What work that is cut into chunks may take at a time without raising a peak.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace localformer {

// Bytes that were live since the innermost peak window opened and are free again. A chunk costs a
// card as many launches as the whole would, so that chunks there are as large as this allows. 0 on
// the CPU, where a call costs next to nothing and a chunk is best when it stays in the caches.
int64_t RoomBelowPeak(c10::Device device);

// While one lives there is no such room: what is measured of a part alone, in a small batch, then
// holds for it among others, in a large one.
class NoRoomBelowPeak {
 public:
  NoRoomBelowPeak();
  ~NoRoomBelowPeak();
  NoRoomBelowPeak(const NoRoomBelowPeak&) = delete;
  NoRoomBelowPeak& operator=(const NoRoomBelowPeak&) = delete;
};

}  // namespace localformer

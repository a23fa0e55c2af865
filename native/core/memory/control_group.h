// What the control groups of this process (Linux cgroups, versions 1 and 2) let it have of memory:
// where it takes more, the kernel ends a process rather than refuse. The group itself and all above
// it count.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace localformer {

class ControlGroup {
 public:
  static constexpr int64_t kNone = INT64_MAX;

  // Without limits.
  ControlGroup() = default;
  // Of the calling process. `root` stands before every path that is read, for tests.
  static ControlGroup OfProcess(const std::string& root = "");

  bool has_limit() const { return LimitBytes() != kNone; }
  // The lowest limit of all groups; kNone where there is none.
  int64_t LimitBytes() const;
  // How much more the processes of the groups can take now: what no group has given away yet, what
  // its files in memory would give up, and swap as far as there is any. At least 0.
  int64_t AvailableBytes() const;

 private:
  // The files of one group.
  struct Level {
    std::string folder;
    bool is_v1 = false;
  };
  static int64_t Available(const Level& level);

  std::vector<Level> levels_;  // from the process's own upwards
};

}  // namespace localformer

#include "control_group.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

namespace localformer {
namespace {

// Version 1 writes no limit as the largest multiple of a page.
constexpr int64_t kLargestLimit = int64_t{1} << 60;

// A number in a file of its own; nothing where the file is missing, as in the topmost group.
std::optional<int64_t> ReadNumber(const std::string& file) {
  std::ifstream stream(file);
  std::string word;
  if (!(stream >> word)) return std::nullopt;
  if (word == "max") return ControlGroup::kNone;
  std::istringstream digits(word);
  uint64_t value = 0;
  if (!(digits >> value)) return std::nullopt;
  return value >= static_cast<uint64_t>(kLargestLimit) ? ControlGroup::kNone
                                                       : static_cast<int64_t>(value);
}

// Sum of some of the lines `name value` of a file.
int64_t SumOf(const std::string& file, const std::vector<std::string>& names) {
  std::ifstream stream(file);
  std::string name;
  int64_t value = 0, sum = 0;
  while (stream >> name >> value) {
    if (std::find(names.begin(), names.end(), name) != names.end()) sum += value;
  }
  return sum;
}

int64_t FreeSwapBytes() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return 0;
  return static_cast<int64_t>(info.freeswap) * static_cast<int64_t>(info.mem_unit);
}

// Paths of /proc/self/mountinfo write spaces and the like as \040.
std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_escape = text[i] == '\\' && i + 3 < text.size();
    if (!is_escape) {
      out += text[i];
      continue;
    }
    out +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
    i += 3;
  }
  return out;
}

bool HasWord(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string one; std::getline(words, one, ',');) {
    if (one == word) return true;
  }
  return false;
}

// Where a hierarchy is mounted, and which of its folders is seen there.
struct Mount {
  std::string root;
  std::string folder;
};

std::optional<Mount> FindMount(const std::string& mountinfo, bool is_v1) {
  std::ifstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line), after(line.substr(dash + 3));
    std::string id, parent, device, root, folder, type, source, options;
    before >> id >> parent >> device >> root >> folder;
    after >> type >> source >> options;
    const bool fits = is_v1 ? type == "cgroup" && HasWord(options, "memory") : type == "cgroup2";
    if (fits) return Mount{Unescape(root), Unescape(folder)};
  }
  return std::nullopt;
}

// The process's group in the hierarchy that has the memory controller: of version 1 where that is
// mounted with it, else the only one of version 2.
std::optional<std::pair<std::string, bool>> FindGroup(const std::string& file) {
  std::ifstream lines(file);
  std::optional<std::pair<std::string, bool>> unified;
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (HasWord(controllers, "memory")) return std::make_pair(group, true);
    if (controllers.empty()) unified = std::make_pair(group, false);
  }
  return unified;
}

// A group's path below what is mounted; the mount itself where the path is not below it, as in a
// container that does not see where it stands.
std::string Below(const std::string& root, const std::string& group) {
  if (root == "/") return group == "/" || group.compare(0, 4, "/../") == 0 ? "" : group;
  const bool is_below = group.compare(0, root.size(), root) == 0 &&
                        (group.size() == root.size() || group[root.size()] == '/');
  return is_below ? group.substr(root.size()) : "";
}

}  // namespace

ControlGroup ControlGroup::OfProcess(const std::string& root) {
  ControlGroup result;
  const auto group = FindGroup(root + "/proc/self/cgroup");
  if (!group) return result;
  const auto mount = FindMount(root + "/proc/self/mountinfo", group->second);
  if (!mount) return result;
  std::string below = Below(mount->root, group->first);
  for (;;) {
    result.levels_.push_back({root + mount->folder + below, group->second});
    if (below.empty()) return result;
    below.resize(below.rfind('/'));
  }
}

int64_t ControlGroup::LimitBytes() const {
  int64_t limit = kNone;
  for (const Level& level : levels_) {
    const char* file = level.is_v1 ? "/memory.limit_in_bytes" : "/memory.max";
    limit = std::min(limit, ReadNumber(level.folder + file).value_or(kNone));
  }
  return limit;
}

int64_t ControlGroup::AvailableBytes() const {
  int64_t available = kNone;
  for (const Level& level : levels_) available = std::min(available, Available(level));
  return available;
}

int64_t ControlGroup::Available(const Level& level) {
  const auto read = [&](const char* v1, const char* v2) {
    return ReadNumber(level.folder + (level.is_v1 ? v1 : v2));
  };
  const int64_t limit = read("/memory.limit_in_bytes", "/memory.max").value_or(kNone);
  // Of memory and swap together in version 1, of swap alone in version 2.
  const int64_t swap_limit =
      read("/memory.memsw.limit_in_bytes", "/memory.swap.max").value_or(kNone);
  if (limit == kNone && (!level.is_v1 || swap_limit == kNone)) return kNone;
  const int64_t used = read("/memory.usage_in_bytes", "/memory.current").value_or(0);
  const int64_t files = level.is_v1 ? SumOf(level.folder + "/memory.stat",
                                            {"total_inactive_file", "total_active_file"})
                                    : SumOf(level.folder + "/memory.stat",
                                            {"inactive_file", "active_file", "slab_reclaimable"});
  const auto left = [&](int64_t of, int64_t taken) {
    return of == kNone ? kNone : std::max<int64_t>(of - std::max<int64_t>(taken - files, 0), 0);
  };
  int64_t swap = FreeSwapBytes();
  int64_t both = kNone;
  const int64_t swap_used =
      read("/memory.memsw.usage_in_bytes", "/memory.swap.current").value_or(0);
  if (level.is_v1) {
    both = left(swap_limit, swap_used);
  } else if (swap_limit != kNone) {
    swap = std::min(swap, std::max<int64_t>(swap_limit - swap_used, 0));
  }
  const int64_t memory = left(limit, used);
  return std::min(memory == kNone ? kNone : memory + swap, both);
}

}  // namespace localformer

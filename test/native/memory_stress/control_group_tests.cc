// See control_group_tests.h.
#include "control_group_tests.h"

#include <c10/util/Exception.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "expect.h"
#include "native/core/memory/caching_cpu_allocator.h"
#include "native/core/memory/control_group.h"

namespace localformer {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// A folder that stands for `/`, gone at the end.
class FakeSystem {
 public:
  FakeSystem() {
    std::string name = (std::filesystem::temp_directory_path() / "localformer-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~FakeSystem() { std::filesystem::remove_all(root_); }
  FakeSystem(const FakeSystem&) = delete;
  FakeSystem& operator=(const FakeSystem&) = delete;

  void Write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = root_ + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  // Of a version 2 hierarchy.
  void WriteGroup(const std::string& folder, const std::string& limit, int64_t used,
                  int64_t files = 0) const {
    Write(folder + "/memory.max", limit);
    Write(folder + "/memory.current", std::to_string(used));
    Write(folder + "/memory.swap.max", "0");
    Write(folder + "/memory.stat",
          "anon 1\ninactive_file " + std::to_string(files) + "\nactive_file 0");
  }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

bool Fails(CachingCpuAllocator& allocator, int64_t bytes) {
  try {
    allocator.Free(allocator.Allocate(static_cast<size_t>(bytes)));
  } catch (const c10::OutOfMemoryError&) {
    return true;
  }
  return false;
}

constexpr const char* kUnified =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";

void Version2() {
  const FakeSystem system;
  system.Write("/proc/self/cgroup", "0::/outer.slice/inner.scope");
  system.Write("/proc/self/mountinfo", kUnified);
  const std::string outer = "/sys/fs/cgroup/outer.slice", inner = outer + "/inner.scope";
  // The topmost group has no limits and no files that tell of them.
  system.Write("/sys/fs/cgroup/memory.stat", "anon 1");
  system.WriteGroup(outer, "max", 700 * kMiB);
  system.WriteGroup(inner, "max", 100 * kMiB);
  const ControlGroup group = ControlGroup::OfProcess(system.root());
  EXPECT(!group.has_limit());
  EXPECT(group.AvailableBytes() == ControlGroup::kNone);
  // The tighter of the two, whichever it is.
  system.WriteGroup(inner, std::to_string(400 * kMiB), 100 * kMiB);
  EXPECT(group.LimitBytes() == 400 * kMiB);
  EXPECT(group.AvailableBytes() == 300 * kMiB);
  system.WriteGroup(outer, std::to_string(800 * kMiB), 700 * kMiB);
  EXPECT(group.LimitBytes() == 400 * kMiB);
  EXPECT(group.AvailableBytes() == 100 * kMiB);
  // Files in memory are given up before anything fails.
  system.WriteGroup(outer, std::to_string(800 * kMiB), 700 * kMiB, 50 * kMiB);
  EXPECT(group.AvailableBytes() == 150 * kMiB);
  system.WriteGroup(outer, std::to_string(600 * kMiB), 700 * kMiB);
  EXPECT(group.AvailableBytes() == 0);
}

void Version1() {
  const FakeSystem system;
  system.Write("/proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/y");
  // A container that sees its own group alone, under a name with a space.
  system.Write("/proc/self/mountinfo",
               "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
               "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
               "35 31 0:32 /docker/abc /sys/my\\040groups/memory rw shared:7 - cgroup cgroup "
               "rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw");
  const std::string folder = "/sys/my groups/memory";
  system.Write(folder + "/memory.limit_in_bytes", "9223372036854771712");
  system.Write(folder + "/memory.usage_in_bytes", std::to_string(90 * kMiB));
  system.Write(folder + "/memory.stat",
               "cache 5\ntotal_inactive_file 1048576\ntotal_active_file 1048576");
  const ControlGroup group = ControlGroup::OfProcess(system.root());
  EXPECT(!group.has_limit());
  system.Write(folder + "/memory.limit_in_bytes", std::to_string(200 * kMiB));
  // What swap adds is the machine's: here at most as much as memory and swap together.
  system.Write(folder + "/memory.memsw.limit_in_bytes", std::to_string(200 * kMiB));
  system.Write(folder + "/memory.memsw.usage_in_bytes", std::to_string(90 * kMiB));
  EXPECT(group.LimitBytes() == 200 * kMiB);
  EXPECT(group.AvailableBytes() == 112 * kMiB);
}

void WithoutGroups() {
  const FakeSystem system;
  EXPECT(!ControlGroup::OfProcess(system.root()).has_limit());
  system.Write("/proc/self/cgroup", "0::/../../elsewhere\nnonsense\n::");
  EXPECT(!ControlGroup::OfProcess(system.root()).has_limit());
  system.Write("/proc/self/mountinfo", std::string("nonsense - \n") + kUnified);
  EXPECT(!ControlGroup::OfProcess(system.root()).has_limit());
  // Where the process stands cannot be seen: what is mounted is what there is.
  system.WriteGroup("/sys/fs/cgroup", "1048576", 0);
  EXPECT(ControlGroup::OfProcess(system.root()).LimitBytes() == kMiB);
}

}  // namespace

void ControlGroupsOfBothVersionsAreRead() {
  Version2();
  Version1();
  WithoutGroups();
}

void TheControlGroupIsHeldAndLookedAtAgain() {
  const FakeSystem system;
  system.Write("/proc/self/cgroup", "0::/group");
  system.Write("/proc/self/mountinfo", kUnified);
  const std::string folder = "/sys/fs/cgroup/group", limit = std::to_string(500 * kMiB);
  system.WriteGroup(folder, limit, 100 * kMiB);
  CachingCpuAllocator allocator(ControlGroup::OfProcess(system.root()));
  // 400 MiB are left, and some of that is for others.
  EXPECT(Fails(allocator, 400 * kMiB));
  const auto told = LastOutOfMemory();
  EXPECT(told && told->byControlGroup && told->limitBytes == 500 * kMiB);
  EXPECT(allocator.getMemoryInfo().second == static_cast<size_t>(500 * kMiB));
  EXPECT(allocator.getMemoryInfo().first <= static_cast<size_t>(400 * kMiB));
  void* held = allocator.Allocate(static_cast<size_t>(300 * kMiB));
  system.WriteGroup(folder, limit, 400 * kMiB);
  EXPECT(Fails(allocator, 100 * kMiB));
  // What is cached goes back first, and is used again without asking.
  allocator.Free(held);
  EXPECT(!Fails(allocator, 300 * kMiB));
  EXPECT(!Fails(allocator, 290 * kMiB));
  // Others have taken what was free; others have given it back.
  held = allocator.Allocate(static_cast<size_t>(200 * kMiB));
  allocator.emptyCache();
  system.WriteGroup(folder, limit, 490 * kMiB);
  EXPECT(Fails(allocator, 100 * kMiB));
  system.WriteGroup(folder, limit, 300 * kMiB);
  EXPECT(!Fails(allocator, 100 * kMiB));
  allocator.Free(held);
}

}  // namespace localformer

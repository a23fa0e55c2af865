// Stands in for what changes files (libc's calls), below one folder alone: the n-th change ends the
// process, or fails, or is the first of those that a full disk refuses. Preloaded; FAULTS_FOLDER,
// FAULTS_AT, FAULTS_HOW (kill, full, once) say what. At exit it tells how many changes there were.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <string>

namespace {

const char* Setting(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

const std::string& Folder() {
  static const std::string folder = Setting("FAULTS_FOLDER");
  return folder;
}

long At() {
  static const long at = atol(Setting("FAULTS_AT"));
  return at;
}

bool Is(const char* how) {
  static const std::string set = Setting("FAULTS_HOW");
  return set == how;
}

std::atomic<long> changes{0};

bool IsBelow(const std::string& place) {
  return !Folder().empty() && place.compare(0, Folder().size(), Folder()) == 0;
}

std::string PlaceOf(int descriptor) {
  char place[4096];
  const std::string name = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t length = readlink(name.c_str(), place, sizeof place);
  return length < 0 ? std::string() : std::string(place, static_cast<size_t>(length));
}

enum class Verdict { kGo, kFail, kLast };

// A disk that is full refuses what needs room, and nothing else.
Verdict Judge(bool needs_room) {
  const long change = ++changes;
  if (At() == 0 || change < At()) return Verdict::kGo;
  if (Is("kill")) {
    if (change == At()) return Verdict::kLast;
    // Another thread, while the signal is on its way.
    for (;;) pause();
  }
  if (Is("once")) {
    errno = EIO;
    return change == At() ? Verdict::kFail : Verdict::kGo;
  }
  errno = ENOSPC;
  return needs_room ? (change == At() ? Verdict::kLast : Verdict::kFail) : Verdict::kGo;
}

[[noreturn]] void Die() {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// For calls that happen whole or not at all: whether it may.
bool May(bool needs_room) {
  const Verdict verdict = Judge(needs_room);
  if (verdict == Verdict::kLast && Is("kill")) Die();
  return verdict == Verdict::kGo;
}

// For a write of `size` bytes, of which `write` does some: the last one is done by half.
template <typename Write>
ssize_t Written(int descriptor, size_t size, Write write) {
  if (!IsBelow(PlaceOf(descriptor))) return write(size);
  const Verdict verdict = Judge(true);
  if (verdict == Verdict::kGo) return write(size);
  const bool is_half = verdict == Verdict::kLast && size > 1;
  const ssize_t done = is_half ? write(size / 2) : -1;
  if (verdict == Verdict::kLast && Is("kill")) Die();
  if (done < 0) errno = Is("once") ? EIO : ENOSPC;
  return done;
}

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

struct AtExit {
  ~AtExit() {
    if (!Folder().empty()) fprintf(stderr, "stand-in: %ld changes\n", changes.load());
  }
} at_exit;

bool MayOpen(const char* place, int flags) {
  // One that is there is opened on a full disk, too.
  const bool is_new = access(place, F_OK) != 0;
  const bool makes = (flags & (O_CREAT | O_TRUNC)) != 0;
  return !makes || !IsBelow(place) || May(is_new);
}

}  // namespace

extern "C" {

int open(const char* place, int flags, ...) {
  static const auto real = Real<int (*)(const char*, int, ...)>("open");
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return MayOpen(place, flags) ? real(place, flags, mode) : -1;
}

int open64(const char* place, int flags, ...) {
  static const auto real = Real<int (*)(const char*, int, ...)>("open64");
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return MayOpen(place, flags) ? real(place, flags, mode) : -1;
}

ssize_t write(int descriptor, const void* from, size_t size) {
  static const auto real = Real<ssize_t (*)(int, const void*, size_t)>("write");
  return Written(descriptor, size, [&](size_t part) { return real(descriptor, from, part); });
}

ssize_t pwrite(int descriptor, const void* from, size_t size, off_t at) {
  static const auto real = Real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return Written(descriptor, size, [&](size_t part) { return real(descriptor, from, part, at); });
}

ssize_t pwrite64(int descriptor, const void* from, size_t size, off_t at) {
  static const auto real = Real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite64");
  return Written(descriptor, size, [&](size_t part) { return real(descriptor, from, part, at); });
}

// Of several pieces the last one is not done by half, but left out.
ssize_t writev(int descriptor, const iovec* pieces, int count) {
  static const auto real = Real<ssize_t (*)(int, const iovec*, int)>("writev");
  const auto size = static_cast<size_t>(count);
  return Written(descriptor, size,
                 [&](size_t part) { return real(descriptor, pieces, static_cast<int>(part)); });
}

ssize_t pwritev(int descriptor, const iovec* pieces, int count, off_t at) {
  static const auto real = Real<ssize_t (*)(int, const iovec*, int, off_t)>("pwritev");
  const auto size = static_cast<size_t>(count);
  return Written(descriptor, size,
                 [&](size_t part) { return real(descriptor, pieces, static_cast<int>(part), at); });
}

ssize_t pwritev64(int descriptor, const iovec* pieces, int count, off_t at) {
  static const auto real = Real<ssize_t (*)(int, const iovec*, int, off_t)>("pwritev64");
  const auto size = static_cast<size_t>(count);
  return Written(descriptor, size,
                 [&](size_t part) { return real(descriptor, pieces, static_cast<int>(part), at); });
}

int rename(const char* from, const char* to) {
  static const auto real = Real<int (*)(const char*, const char*)>("rename");
  if (IsBelow(to) && !May(false)) return -1;
  return real(from, to);
}

int link(const char* from, const char* to) {
  static const auto real = Real<int (*)(const char*, const char*)>("link");
  if (IsBelow(to) && !May(true)) return -1;
  return real(from, to);
}

int mkdir(const char* place, mode_t mode) {
  static const auto real = Real<int (*)(const char*, mode_t)>("mkdir");
  if (IsBelow(place) && !May(true)) return -1;
  return real(place, mode);
}

int unlink(const char* place) {
  static const auto real = Real<int (*)(const char*)>("unlink");
  if (IsBelow(place) && !May(false)) return -1;
  return real(place);
}

int rmdir(const char* place) {
  static const auto real = Real<int (*)(const char*)>("rmdir");
  if (IsBelow(place) && !May(false)) return -1;
  return real(place);
}

int ftruncate(int descriptor, off_t size) {
  static const auto real = Real<int (*)(int, off_t)>("ftruncate");
  if (IsBelow(PlaceOf(descriptor)) && !May(false)) return -1;
  return real(descriptor, size);
}

int ftruncate64(int descriptor, off_t size) {
  static const auto real = Real<int (*)(int, off_t)>("ftruncate64");
  if (IsBelow(PlaceOf(descriptor)) && !May(false)) return -1;
  return real(descriptor, size);
}

int fsync(int descriptor) {
  static const auto real = Real<int (*)(int)>("fsync");
  if (IsBelow(PlaceOf(descriptor)) && !May(true)) return -1;
  return real(descriptor);
}

int fdatasync(int descriptor) {
  static const auto real = Real<int (*)(int)>("fdatasync");
  if (IsBelow(PlaceOf(descriptor)) && !May(true)) return -1;
  return real(descriptor);
}

}  // extern "C"

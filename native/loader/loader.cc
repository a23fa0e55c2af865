// localformer.node: opens LibTorch and the library beside it by absolute path, and hands over.
// Knows nothing of torch and uses no C++ library (plain pointers, linked as C), so that it always
// loads.
#include <dlfcn.h>
#include <fcntl.h>
#include <node_api.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using InitFunction = napi_value (*)(napi_env, napi_value);

napi_value Throw(napi_env env, const char* message, const char* code = "ERR_ADDON_LOAD") {
  napi_throw_error(env, code, message);
  return nullptr;
}

// What this process has: one LibTorch for all its threads, on one simulated card or on none.
pthread_mutex_t process_mutex = PTHREAD_MUTEX_INITIALIZER;
bool is_opened_plain = false;    // LibTorch is open and nothing is simulated; guarded by the mutex.
char* simulated_card = nullptr;  // What `simulated` gives; guarded by the mutex.
bool is_open = false;            // LibTorch and the library beside it are; guarded by the mutex.

class ProcessLock {
 public:
  ProcessLock() { pthread_mutex_lock(&process_mutex); }
  ~ProcessLock() { pthread_mutex_unlock(&process_mutex); }
  ProcessLock(const ProcessLock&) = delete;
  ProcessLock& operator=(const ProcessLock&) = delete;
};

// A copy that the caller frees, or null where the value is no string.
char* CopyString(napi_env env, napi_value value) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return nullptr;
  char* text = static_cast<char*>(std::malloc(length + 1));
  if (text != nullptr) napi_get_value_string_utf8(env, value, text, length + 1, &length);
  return text;
}

// dlopen by a path in a JavaScript string. Never closed: threads of LibTorch and statics live until
// the process ends.
void* OpenLibrary(napi_env env, napi_value path, int visibility) {
  char* text = CopyString(env, path);
  if (text == nullptr) {
    Throw(env, "a library path is not a string");
    return nullptr;
  }
  void* handle = dlopen(text, RTLD_NOW | visibility);
  std::free(text);
  if (handle == nullptr) Throw(env, dlerror());
  return handle;
}

// Tasks of this machine that run or wait for a core, the caller among them; 0 where it does not
// say.
int RunningTasks() {
  char text[64] = {0};
  const int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  int running = 0;
  const bool is_said = count > 0 && std::sscanf(text, "%*s %*s %*s %d/", &running) == 1;
  return is_said ? running : 0;
}

// Does nothing else run? What Node's own threads do is short, so that one look of several tells.
bool IsAlone() {
  for (int look = 0; look < 10; ++look) {
    usleep(2000);
    if (RunningTasks() == 1) return true;
  }
  return false;
}

// While it lives, LibTorch's OpenMP library is opened, which reads once how long its threads wait
// for each other in a busy loop: by default for milliseconds. Where another process wants the cores
// that makes a step several times slower, and a loop that is short makes one slower that is alone:
// hence a short one where others run, or that is not known. A user's own setting is kept, and
// processes that this one starts look for themselves.
class CalmOpenMp {
 public:
  explicit CalmOpenMp(bool is_open_already)
      : is_ours_(!is_open_already && std::getenv("OMP_WAIT_POLICY") == nullptr &&
                 std::getenv("GOMP_SPINCOUNT") == nullptr) {
    if (is_ours_) setenv("GOMP_SPINCOUNT", IsAlone() ? "10000" : "2000", /*replace=*/1);
  }
  ~CalmOpenMp() {
    if (is_ours_) unsetenv("GOMP_SPINCOUNT");
  }
  CalmOpenMp(const CalmOpenMp&) = delete;
  CalmOpenMp& operator=(const CalmOpenMp&) = delete;

 private:
  const bool is_ours_;
};

// Addresses that the process may still take: all there are, unless `ulimit -v` allows less.
size_t AddressBytesLeft() {
  rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  char text[32] = {0};
  const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  const ssize_t count = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  if (count <= 0) return SIZE_MAX;
  const size_t used = std::strtoull(text, nullptr, 10) * static_cast<size_t>(getpagesize());
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

size_t FileBytes(napi_env env, napi_value path) {
  char* text = CopyString(env, path);
  struct stat file;
  const bool is_there = text != nullptr && stat(text, &file) == 0;
  std::free(text);
  return is_there ? static_cast<size_t>(file.st_size) : 0;
}

// LibTorch allocates while it is opened, and ends the process where it gets nothing: it is not
// opened where its files and what it allocates then would hardly fit.
bool CheckAddressSpace(napi_env env, size_t libraries) {
  constexpr size_t kBeside = size_t{256} << 20;
  const size_t left = AddressBytesLeft(), needed = libraries + kBeside;
  if (left >= needed) return true;
  char message[160];
  std::snprintf(message, sizeof message,
                "LibTorch needs about %zu MiB of addresses, and this process may take %zu MiB more "
                "(ulimit -v)",
                needed >> 20, left >> 20);
  Throw(env, message);
  return false;
}

// Opens every library of a JavaScript array with its symbols visible to those after it; the first
// one's handle, or null.
void* OpenAll(napi_env env, napi_value paths, uint32_t count) {
  void* first = nullptr;
  for (uint32_t i = 0; i < count; ++i) {
    napi_value path;
    if (napi_get_element(env, paths, i, &path) != napi_ok) return nullptr;
    void* handle = OpenLibrary(env, path, RTLD_GLOBAL);
    if (handle == nullptr) return nullptr;
    if (first == nullptr) first = handle;
  }
  return first;
}

// As native/simulated/card.c says; null where it is done.
napi_value ThrowNotConfigured(napi_env env, int status) {
  switch (status) {
    case 2:
      return Throw(env, "this process simulates another card already", "ERR_CONFIG");
    case 3:
      return Throw(
          env,
          "a simulated card needs addresses for twice its memory, and this process may not "
          "take so many (ulimit -v)");
    default:
      return Throw(env, "the simulated card could not be set up");
  }
}

// simulate(standIns: string[], card: string, key: string): opens the stand-ins for NVIDIA's
// libraries, that of the CUDA runtime first, and says which card they are to be. Before LibTorch is
// opened: a library with the soname that LibTorch needs, open already, is what it gets. Again, from
// any thread, with the same card it changes nothing. Returns what they were made for.
napi_value Simulate(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3];
  uint32_t count = 0;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok || argc != 3 ||
      napi_get_array_length(env, argv[0], &count) != napi_ok || count == 0) {
    return Throw(env, "simulate expects an array of library paths, a card and its key");
  }
  const ProcessLock lock;
  if (is_opened_plain) {
    return Throw(env, "this process has opened LibTorch without a simulated card", "ERR_CONFIG");
  }
  void* runtime = OpenAll(env, argv[0], count);
  if (runtime == nullptr) return nullptr;
  const auto configure =
      reinterpret_cast<int (*)(const char*)>(dlsym(runtime, "localformer_simulated_configure"));
  const auto made_for =
      reinterpret_cast<const char* (*)()>(dlsym(runtime, "localformer_simulated_made_for"));
  if (configure == nullptr || made_for == nullptr) return Throw(env, dlerror());
  char* card = CopyString(env, argv[1]);
  const int status = card == nullptr ? 1 : configure(card);
  std::free(card);
  if (status != 0) return ThrowNotConfigured(env, status);
  if (simulated_card == nullptr) simulated_card = CopyString(env, argv[2]);
  napi_value text;
  if (napi_create_string_utf8(env, made_for(), NAPI_AUTO_LENGTH, &text) != napi_ok) return nullptr;
  return text;
}

// simulated(): the key of the card that this process simulates, or undefined.
napi_value Simulated(napi_env env, napi_callback_info) {
  const ProcessLock lock;
  napi_value key = nullptr;
  if (simulated_card == nullptr) {
    napi_get_undefined(env, &key);
  } else {
    napi_create_string_utf8(env, simulated_card, NAPI_AUTO_LENGTH, &key);
  }
  return key;
}

// open(libraries: string[], addon: string): loads each library with its symbols visible to those
// after it, then the addon, and returns the addon's exports for this environment.
napi_value Open(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  uint32_t count = 0;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok || argc != 2 ||
      napi_get_array_length(env, argv[0], &count) != napi_ok) {
    return Throw(env, "open expects an array of library paths and the path of the addon");
  }
  size_t bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    napi_value path;
    if (napi_get_element(env, argv[0], i, &path) != napi_ok) return nullptr;
    bytes += FileBytes(env, path);
  }
  if (count > 0 && !CheckAddressSpace(env, bytes)) return nullptr;
  const ProcessLock lock;
  if (count > 0 && simulated_card == nullptr) is_opened_plain = true;
  const CalmOpenMp calm(is_open);
  if (count > 0 && OpenAll(env, argv[0], count) == nullptr) return nullptr;
  void* handle = OpenLibrary(env, argv[1], RTLD_LOCAL);
  if (handle == nullptr) return nullptr;
  is_open = true;
  const auto init = reinterpret_cast<InitFunction>(dlsym(handle, "localformer_init"));
  if (init == nullptr) return Throw(env, dlerror());
  napi_value exports;
  if (napi_create_object(env, &exports) != napi_ok) return nullptr;
  return init(env, exports);
}

}  // namespace

NAPI_MODULE_INIT() {
  // Node closes the file with the last thread that uses it; what the process has must not be
  // forgotten.
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&Open), &self) != 0) {
    dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  }
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {{"open", Open}, {"simulate", Simulate}, {"simulated", Simulated}};
  for (const auto& [name, function] : functions) {
    napi_value value;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value) != napi_ok ||
        napi_set_named_property(env, exports, name, value) != napi_ok) {
      return nullptr;
    }
  }
  return exports;
}

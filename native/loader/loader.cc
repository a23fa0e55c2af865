// localformer.node: opens LibTorch and the library beside it by absolute path, and hands over.
// Knows nothing of torch and uses no C++ library (plain pointers, linked as C), so that it always
// loads.
#include <dlfcn.h>
#include <fcntl.h>
#include <node_api.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using InitFunction = napi_value (*)(napi_env, napi_value);

napi_value Throw(napi_env env, const char* message) {
  napi_throw_error(env, "ERR_ADDON_LOAD", message);
  return nullptr;
}

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

// OpenMP's threads wait for each other in a busy loop of milliseconds by default. Where another
// process wants the cores, that makes a step several times slower; a shorter loop costs a few per
// cent on an idle machine. Read once, when LibTorch's OpenMP library is opened; the user's own
// setting is kept.
void CalmOpenMp() {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) setenv("GOMP_SPINCOUNT", "10000", /*replace=*/0);
}

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

// simulate(standIns: string[], card: string): opens the stand-ins for NVIDIA's libraries, that of
// the CUDA runtime first, and says which card they are to be. Before LibTorch is opened: a library
// with the soname that LibTorch needs, open already, is what it gets. Returns what they were made
// for.
napi_value Simulate(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  uint32_t count = 0;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok || argc != 2 ||
      napi_get_array_length(env, argv[0], &count) != napi_ok || count == 0) {
    return Throw(env, "simulate expects an array of library paths and a card");
  }
  void* runtime = OpenAll(env, argv[0], count);
  if (runtime == nullptr) return nullptr;
  const auto configure =
      reinterpret_cast<int (*)(const char*)>(dlsym(runtime, "localformer_simulated_configure"));
  const auto made_for =
      reinterpret_cast<const char* (*)()>(dlsym(runtime, "localformer_simulated_made_for"));
  if (configure == nullptr || made_for == nullptr) return Throw(env, dlerror());
  char* card = CopyString(env, argv[1]);
  const bool is_done = card != nullptr && configure(card) == 0;
  std::free(card);
  if (!is_done) return Throw(env, "the simulated card could not be set up");
  napi_value text;
  if (napi_create_string_utf8(env, made_for(), NAPI_AUTO_LENGTH, &text) != napi_ok) return nullptr;
  return text;
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
  CalmOpenMp();
  if (count > 0 && OpenAll(env, argv[0], count) == nullptr) return nullptr;
  void* handle = OpenLibrary(env, argv[1], RTLD_LOCAL);
  if (handle == nullptr) return nullptr;
  const auto init = reinterpret_cast<InitFunction>(dlsym(handle, "localformer_init"));
  if (init == nullptr) return Throw(env, dlerror());
  napi_value exports;
  if (napi_create_object(env, &exports) != napi_ok) return nullptr;
  return init(env, exports);
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value open, simulate;
  if (napi_create_function(env, "open", NAPI_AUTO_LENGTH, Open, nullptr, &open) != napi_ok ||
      napi_set_named_property(env, exports, "open", open) != napi_ok ||
      napi_create_function(env, "simulate", NAPI_AUTO_LENGTH, Simulate, nullptr, &simulate) !=
          napi_ok ||
      napi_set_named_property(env, exports, "simulate", simulate) != napi_ok) {
    return nullptr;
  }
  return exports;
}

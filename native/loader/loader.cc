// localformer.node: opens LibTorch and the library beside it by absolute path, and hands over.
// Knows nothing of torch and uses no C++ library (plain pointers, linked as C), so that it always
// loads.
#include <dlfcn.h>
#include <node_api.h>

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
  CalmOpenMp();
  for (uint32_t i = 0; i < count; ++i) {
    napi_value path;
    if (napi_get_element(env, argv[0], i, &path) != napi_ok) return nullptr;
    if (OpenLibrary(env, path, RTLD_GLOBAL) == nullptr) return nullptr;
  }
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
  napi_value open;
  if (napi_create_function(env, "open", NAPI_AUTO_LENGTH, Open, nullptr, &open) != napi_ok ||
      napi_set_named_property(env, exports, "open", open) != napi_ok) {
    return nullptr;
  }
  return exports;
}

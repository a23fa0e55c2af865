// localformer.node: opens LibTorch and the library beside it by absolute path, and hands over.
// Knows nothing of torch and links neither it nor a shared C++ library, so that it always loads.
#include <dlfcn.h>
#include <node_api.h>

#include <cstdlib>
#include <string>

namespace {

using InitFunction = napi_value (*)(napi_env, napi_value);

napi_value Throw(napi_env env, const std::string& message) {
  napi_throw_error(env, "ERR_ADDON_LOAD", message.c_str());
  return nullptr;
}

bool ReadString(napi_env env, napi_value value, std::string* out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return false;
  out->resize(length);
  return napi_get_value_string_utf8(env, value, out->data(), length + 1, &length) == napi_ok;
}

bool ReadElement(napi_env env, napi_value array, uint32_t index, std::string* out) {
  napi_value element;
  return napi_get_element(env, array, index, &element) == napi_ok && ReadString(env, element, out);
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
  std::string addon;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok || argc != 2 ||
      napi_get_array_length(env, argv[0], &count) != napi_ok || !ReadString(env, argv[1], &addon)) {
    return Throw(env, "open expects an array of library paths and the path of the addon");
  }
  CalmOpenMp();
  for (uint32_t i = 0; i < count; ++i) {
    std::string path;
    if (!ReadElement(env, argv[0], i, &path)) return Throw(env, "a library path is not a string");
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) return Throw(env, dlerror());
  }
  // Never closed: threads of LibTorch and statics live until the process ends.
  void* handle = dlopen(addon.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return Throw(env, dlerror());
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

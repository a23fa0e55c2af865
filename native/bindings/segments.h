// A segment of an allocator as a JavaScript object (lib/native/contract.ts, NativeSegment). Inline,
// since both addon libraries build it.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <napi.h>

namespace localformer {

inline Napi::Object ToJs(Napi::Env env, const c10::CachingDeviceAllocator::SegmentInfo& segment) {
  Napi::Array blocks = Napi::Array::New(env, segment.blocks.size());
  for (uint32_t i = 0; i < segment.blocks.size(); ++i) {
    Napi::Object block = Napi::Object::New(env);
    block.Set("size", static_cast<double>(segment.blocks[i].size));
    block.Set("requestedSize", static_cast<double>(segment.blocks[i].requested_size));
    block.Set("state", segment.blocks[i].allocated ? "active_allocated" : "inactive");
    blocks.Set(i, block);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("address", static_cast<double>(segment.address));
  object.Set("totalSize", static_cast<double>(segment.total_size));
  object.Set("allocatedSize", static_cast<double>(segment.allocated_size));
  object.Set("segmentType", segment.is_large ? "large" : "small");
  object.Set("blocks", blocks);
  return object;
}

}  // namespace localformer

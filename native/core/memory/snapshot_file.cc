// See snapshot_file.h.
#include "memory/snapshot_file.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/serialization/pickler.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coded_error.h"

namespace localformer {
namespace {

using c10::IValue;
using c10::CachingDeviceAllocator::BlockInfo;
using c10::CachingDeviceAllocator::SegmentInfo;
using Dict = c10::Dict<IValue, IValue>;
using List = c10::List<IValue>;
using Action = AllocationEvent::Action;

// Lists of a type of their own would be pickled as calls of PyTorch's, so all are of any type.
Dict NewDict() { return Dict(c10::AnyType::get(), c10::AnyType::get()); }
List NewList() { return List(c10::AnyType::get()); }

int64_t Signed(size_t value) { return static_cast<int64_t>(value); }

const char* WordOfAction(Action action) {
  switch (action) {
    case Action::ALLOC:
      return "alloc";
    case Action::FREE_REQUESTED:
      return "free_requested";
    case Action::FREE_COMPLETED:
      return "free_completed";
    case Action::SEGMENT_ALLOC:
      return "segment_alloc";
    case Action::SEGMENT_FREE:
      return "segment_free";
    case Action::SEGMENT_MAP:
      return "segment_map";
    case Action::SEGMENT_UNMAP:
      return "segment_unmap";
    case Action::SNAPSHOT:
      return "snapshot";
    case Action::OOM:
      return "oom";
  }
  return "unknown";
}

// One list for each context, shared by all that come from there.
class Frames {
 public:
  const IValue& Of(const AllocationContext* context) {
    const auto found = lists_.find(context);
    if (found != lists_.end()) return found->second;
    return lists_.emplace(context, Make(context)).first->second;
  }
  const IValue& Of(const std::shared_ptr<c10::GatheredContext>& context) {
    return Of(dynamic_cast<const AllocationContext*>(context.get()));
  }

 private:
  static List Make(const AllocationContext* context) {
    List frames = NewList();
    if (context == nullptr) return frames;
    const std::string phase = context->phase;
    const std::string before = phase.empty() ? "" : phase + ": ";
    for (const char* name : context->operators) frames.push_back(Frame(*context, before + name));
    if (context->operators.empty() && !phase.empty()) frames.push_back(Frame(*context, phase));
    return frames;
  }

  static IValue Frame(const AllocationContext& context, const std::string& name) {
    Dict frame = NewDict();
    frame.insert("filename", *context.module == '\0' ? "localformer" : context.module);
    frame.insert("name", name);
    frame.insert("line", int64_t{0});
    return frame;
  }

  std::unordered_map<const AllocationContext*, IValue> lists_;
};

IValue BlockOf(const BlockInfo& block, size_t address, Frames& frames) {
  Dict dict = NewDict();
  dict.insert("address", Signed(address));
  dict.insert("size", Signed(block.size));
  dict.insert("requested_size", Signed(block.requested_size));
  dict.insert("state", block.allocated ? "active_allocated"
                       : block.active  ? "active_pending_free"
                                       : "inactive");
  dict.insert("frames", frames.Of(block.context_when_allocated));
  return dict;
}

IValue SegmentOf(const SegmentInfo& segment, Frames& frames) {
  Dict dict = NewDict();
  dict.insert("device", static_cast<int64_t>(segment.device));
  dict.insert("address", Signed(segment.address));
  dict.insert("total_size", Signed(segment.total_size));
  dict.insert("allocated_size", Signed(segment.allocated_size));
  dict.insert("active_size", Signed(segment.active_size));
  dict.insert("requested_size", Signed(segment.requested_size));
  dict.insert("stream", static_cast<int64_t>(reinterpret_cast<intptr_t>(segment.stream)));
  dict.insert("segment_type", segment.is_large ? "large" : "small");
  dict.insert("segment_pool_id",
              std::make_tuple(static_cast<int64_t>(segment.owner_private_pool_id.first),
                              static_cast<int64_t>(segment.owner_private_pool_id.second)));
  dict.insert("is_expandable", segment.is_expandable);
  dict.insert("frames", frames.Of(segment.context_when_allocated));
  List blocks = NewList();
  size_t address = segment.address;
  for (const BlockInfo& block : segment.blocks) {
    blocks.push_back(BlockOf(block, address, frames));
    address += block.size;
  }
  dict.insert("blocks", blocks);
  return dict;
}

IValue EventOf(const AllocationEvent& event, Frames& frames) {
  Dict dict = NewDict();
  dict.insert("action", WordOfAction(event.action));
  dict.insert(event.action == Action::OOM ? "device_free" : "addr", Signed(event.address));
  dict.insert("size", Signed(event.size));
  dict.insert("stream", event.stream);
  dict.insert("time_us", event.nanoseconds / 1000);
  dict.insert("frames", frames.Of(event.context));
  return dict;
}

IValue SettingsOf(const AllocatorSettings& settings) {
  Dict dict = NewDict();
  dict.insert("PYTORCH_CUDA_ALLOC_CONF", settings.configuration);
  dict.insert("max_split_size", settings.max_split_size);
  dict.insert("garbage_collection_threshold", settings.garbage_collection_threshold);
  dict.insert("expandable_segments", settings.expandable_segments);
  dict.insert("pinned_num_register_threads", settings.pinned_num_register_threads);
  dict.insert("release_lock_on_cudamalloc", settings.release_lock_on_malloc);
  dict.insert("pinned_use_cuda_host_register", settings.pinned_use_host_register);
  // By the power of two from which on they hold.
  Dict divisions = NewDict();
  int64_t power = 1;
  for (const size_t count : settings.roundup_power2_divisions) {
    divisions.insert(std::to_string(power), Signed(count));
    power *= 2;
  }
  dict.insert("roundup_power2_divisions", divisions);
  return dict;
}

[[noreturn]] void Refuse(const std::string& file, const std::string& doing, int code) {
  throw CodedError("ERR_CONFIG", "The memory snapshot cannot be written to " + file + ": " + doing +
                                     ": " + std::strerror(code));
}

// A file under another name until all of it is there.
class NewFile {
 public:
  explicit NewFile(const std::string& file) : file_(file), temporary_(NameBeside(file)) {
    stream_ = std::fopen(temporary_.c_str(), "wbxe");
    if (stream_ == nullptr) Refuse(file_, "open", errno);
  }
  ~NewFile() {
    if (stream_ != nullptr) std::fclose(stream_);
    if (!is_kept_) std::remove(temporary_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // From Pickler's destructor too, which must not throw: Keep tells. The last byte waits for what
  // may have to stand before it.
  void Write(const char* data, size_t size) noexcept {
    if (size == 0) return;
    if (has_last_) Put(&last_, 1);
    Put(data, size - 1);
    last_ = data[size - 1];
    has_last_ = true;
  }
  void WriteBeforeLast(char byte) noexcept { Put(&byte, 1); }

  void Keep() {
    if (has_last_) Put(&last_, 1);
    if (error_ == 0 && std::fflush(stream_) != 0) error_ = errno;
    if (error_ == 0 && fsync(fileno(stream_)) != 0) error_ = errno;
    if (std::fclose(std::exchange(stream_, nullptr)) != 0 && error_ == 0) error_ = errno;
    if (error_ != 0) Refuse(file_, "write", error_);
    if (std::rename(temporary_.c_str(), file_.c_str()) != 0) Refuse(file_, "rename", errno);
    is_kept_ = true;
  }

 private:
  void Put(const char* data, size_t size) noexcept {
    if (error_ == 0 && std::fwrite(data, 1, size, stream_) != size) error_ = errno;
  }

  static std::string NameBeside(const std::string& file) {
    static std::atomic<int> count{0};
    return file + "." + std::to_string(getpid()) + "-" + std::to_string(++count) + ".tmp";
  }

  const std::string file_;
  const std::string temporary_;
  std::FILE* stream_ = nullptr;
  char last_ = 0;
  bool has_last_ = false;
  int error_ = 0;
  bool is_kept_ = false;
};

using torch::jit::Pickler;

IValue SegmentsOf(const MemorySnapshot& snapshot, Frames& frames) {
  List segments = NewList();
  for (const SegmentInfo& segment : snapshot.segments) {
    segments.push_back(SegmentOf(segment, frames));
  }
  return segments;
}

// As tuples, which all tools walk through as they do lists: they can be written piece by piece,
// and a list that is written at once, as LibTorch does, is too long for the reader of memory_viz
// where it has more than some ten thousand entries.
void PushTraces(const MemorySnapshot& snapshot, Frames& frames, Pickler* pickler) {
  pickler->startTuple();
  for (const auto& events : snapshot.traces) {
    pickler->startTuple();
    for (const AllocationEvent& event : events) pickler->pushIValue(EventOf(event, frames));
    pickler->endTuple();
  }
  pickler->endTuple();
}

// What others pass over: whether the trace begins where the recording began.
IValue OwnOf(const MemorySnapshot& snapshot) {
  Dict own = NewDict();
  own.insert("schema", int64_t{1});
  own.insert("is_complete", snapshot.is_complete);
  return own;
}

// The instruction that puts what lies above the last mark into a dictionary. Pickler has it for
// dictionaries that are there as a whole, which for a million events would take two gigabytes.
constexpr char kSetItems = 'u';

}  // namespace

void WriteSnapshot(const MemorySnapshot& snapshot, const std::string& file) {
  NewFile written(file);
  Frames frames;
  {
    Pickler pickler([&written](const char* data, size_t size) { written.Write(data, size); },
                    /*tensor_table=*/nullptr, /*type_renamer=*/nullptr,
                    /*memoized_class_types=*/nullptr, /*get_tensor_id=*/nullptr,
                    // Else whoever reads it needs PyTorch.
                    /*tag_aggregates=*/false);
    pickler.protocol();
    pickler.pushIValue(NewDict());
    pickler.startTuple();  // The mark that belongs to kSetItems.
    pickler.pushIValue("segments");
    pickler.pushIValue(SegmentsOf(snapshot, frames));
    pickler.pushIValue("device_traces");
    PushTraces(snapshot, frames, &pickler);
    pickler.pushIValue("allocator_settings");
    pickler.pushIValue(SettingsOf(snapshot.settings));
    pickler.pushIValue("external_annotations");
    pickler.pushIValue(NewList());
    pickler.pushIValue("localformer");
    pickler.pushIValue(OwnOf(snapshot));
    pickler.stop();
  }
  // Its last byte ends the pickle.
  written.WriteBeforeLast(kSetItems);
  written.Keep();
}

}  // namespace localformer

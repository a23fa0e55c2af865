// What the stand-ins for NVIDIA's libraries share (docs/simulated-device.md): one simulated card,
// its memory, the order of work on its streams, counts of what was called. Nothing is computed. The
// state stands in the stand-in for the CUDA runtime (card.c, order.c, calls.c); the others link to
// it.
//
// Every function that torch names is of one of three classes: written by hand; NO_OUTPUTS, which
// changes nothing that the host could read and has its signature beside it; REFUSED, which says so
// on standard error and fails. There is no fourth (test/simulated/functions.test.ts).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counts.h"

#define EXPORT __attribute__((visibility("default")))

// A status of the CUDA runtime, or of the library whose function it is; 0 is success everywhere.
typedef int sim_status;
enum { SIM_OK = 0, SIM_INVALID_VALUE = 1, SIM_NO_MEMORY = 2 };

#define NO_OUTPUTS(name, signature) \
  EXPORT sim_status name(void) { return sim_enter(#name); }
#define REFUSED(name, status)    \
  EXPORT sim_status name(void) { \
    sim_refuse(#name);           \
    return status;               \
  }
// The same where the function gives a pointer, or a text.
#define REFUSED_POINTER(name) \
  EXPORT void* name(void) {   \
    sim_refuse(#name);        \
    return NULL;              \
  }
#define REFUSED_TEXT(name)        \
  EXPORT const char* name(void) { \
    sim_refuse(#name);            \
    return "not simulated";       \
  }

// What follows is in the stand-in for the CUDA runtime, and seen by the others.
#pragma GCC visibility push(default)

// --- the card (card.c) ---------------------------------------------------------------------------
typedef struct {
  char name[128];
  int major, minor;  // Compute capability.
  int kernels;       // Architecture of the kernels that torch's wheel runs there, e.g. 86; 0: none.
  int multiprocessors, threads_per_multiprocessor;
  size_t total_bytes;    // As the driver reports it.
  size_t context_bytes;  // Taken by a context before the first allocation.
  size_t shared_bytes_per_block_optin, shared_bytes_per_multiprocessor, l2_bytes;
} sim_card;

const sim_card* sim_current(void);

// Memory: address space that is never touched, counted against the card's total in granules of
// 2 MiB. First fit, so that runs repeat.
sim_status sim_allocate(void** out, size_t bytes);  // SIM_OK or SIM_NO_MEMORY
sim_status sim_release(void* pointer);              // SIM_OK or SIM_INVALID_VALUE
bool sim_is_device(const void* pointer);
bool sim_charge(size_t bytes);  // Physical memory without an address; false: there is not so much.
void sim_uncharge(size_t bytes);
void* sim_reserve(size_t bytes);  // An address without physical memory; NULL: none left.
sim_status sim_unreserve(void* pointer);
void sim_memory(size_t* free_bytes, size_t* total_bytes);

// Host memory that was pinned.
sim_status sim_pin(void* pointer, size_t bytes);
sim_status sim_unpin(void* pointer);
bool sim_is_pinned(const void* pointer);

// A unique handle of 256 zero bytes, or NULL; `free` takes it back.
void* sim_handle(void);

// --- calls (calls.c) -----------------------------------------------------------------------------
// On entry into a function that can fail: 0, or the status that a test asked for.
sim_status sim_enter(const char* name);
void sim_refuse(const char* name);
// Adds to a field of the counts.
void sim_count(int64_t offset, int64_t by);
#define SIM_COUNT(field, by) sim_count(offsetof(sim_counts, field), by)
void sim_register_kernel(const void* host_function, const char* name);
void sim_launched(const void* host_function);

// --- order (order.c) -----------------------------------------------------------------------------
// What work on one stream knows of the others, by vector clocks. Arguments of kernels cannot be
// seen: what is checked are copies, fills and the operands of products.
void* sim_stream_create(void);
void sim_stream_destroy(void* stream);
void* sim_event_create(void);
void sim_event_destroy(void* event);
void sim_worked(void* stream);  // Something was queued.
void sim_record(void* event, void* stream);
void sim_wait(void* stream, void* event);
void sim_host_waits_for_stream(void* stream);
void sim_host_waits_for_event(void* event);
void sim_host_waits_for_device(void);
// Whoever waits for the device waits until it is told that nothing stalls any more.
void sim_stall(bool is_stalled);
bool sim_is_stalled(void);
// A status that a test asks an operation of NCCL for: it begins and is never done.
enum { SIM_STALLS = -1 };
// A copy or fill: false, and a line on standard error, where other work on this memory need not be
// done. NULL: not on the device.
bool sim_copy_in_order(const void* to, size_t to_bytes, const void* from, size_t from_bytes,
                       void* stream);
bool sim_product_in_order(const void* a, const void* b, const void* c, void* stream);

#pragma GCC visibility pop

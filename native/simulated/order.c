// The order of work on streams, by vector clocks: stream s has done work up to clock[s], and what
// it knows to be done of stream t is clock[t]. The host is one more: it learns where it waits, and
// what it queues comes after that. A use that another stream's work need not precede is told and
// fails.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulated.h"

// The default stream and those of PyTorch's pools.
enum { STREAMS = 160 };

typedef struct {
  int64_t of[STREAMS];
} clocks;

typedef struct {
  int index;
  bool is_alive;
  clocks known;
} stream;

// A use of memory on a stream: a copy, a fill, or an operand of a product, whose size is not known
// (1).
typedef struct {
  const char* base;
  size_t bytes;
  int stream;
  int64_t at;
  bool is_write;
} use;

enum { USES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
// All below are guarded by the lock.
static stream streams[STREAMS];
// Clocks of the streams at the last kernel or product that this thread gave them: what those write
// is not known. Of other threads' work a thread is not the one to say what comes before it.
static _Thread_local clocks unseen;
static clocks host;
static bool stalled;    // Some work is never done.
static use uses[USES];  // A ring: the oldest are forgotten.
static size_t use_count;
static size_t uses_of[STREAMS];  // Of these, by stream.

static void learn(clocks* one, const clocks* other) {
  for (int i = 0; i < STREAMS; ++i) {
    if (other->of[i] > one->of[i]) one->of[i] = other->of[i];
  }
}

// Needs the lock. NULL and the two special handles are the default stream, index 0.
static stream* find(void* handle) {
  stream* found = (uintptr_t)handle <= 2 ? &streams[0] : handle;
  found->index = (int)(found - streams);
  return found;
}

// Needs the lock. One more piece of work on the stream; what is queued knows what the host knows.
static stream* work(void* handle) {
  stream* one = find(handle);
  learn(&one->known, &host);
  ++one->known.of[one->index];
  return one;
}

// Needs the lock. The same of work that may write anything.
static stream* work_unseen(void* handle) {
  stream* one = work(handle);
  unseen.of[one->index] = one->known.of[one->index];
  return one;
}

void* sim_stream_create(void) {
  stream* found = NULL;
  pthread_mutex_lock(&lock);
  for (int i = 1; i < STREAMS && found == NULL; ++i) {
    if (!streams[i].is_alive) found = &streams[i];
  }
  if (found != NULL) found->is_alive = true;
  pthread_mutex_unlock(&lock);
  return found;
}

void sim_stream_destroy(void* handle) {
  if ((uintptr_t)handle <= 2) return;
  pthread_mutex_lock(&lock);
  // Work that is queued is still done; the index is not used for other work that could be confused
  // with it, since its clock goes on.
  ((stream*)handle)->is_alive = false;
  pthread_mutex_unlock(&lock);
}

void* sim_event_create(void) { return calloc(1, sizeof(clocks)); }
void sim_event_destroy(void* event) { free(event); }

void sim_worked(void* handle) {
  pthread_mutex_lock(&lock);
  work_unseen(handle);
  pthread_mutex_unlock(&lock);
}

void sim_record(void* event, void* handle) {
  pthread_mutex_lock(&lock);
  stream* one = find(handle);
  learn(&one->known, &host);
  *(clocks*)event = one->known;
  pthread_mutex_unlock(&lock);
}

void sim_wait(void* handle, void* event) {
  pthread_mutex_lock(&lock);
  learn(&find(handle)->known, event);
  pthread_mutex_unlock(&lock);
}

void sim_stall(bool is_stalled) {
  pthread_mutex_lock(&lock);
  stalled = is_stalled;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

bool sim_is_stalled(void) {
  pthread_mutex_lock(&lock);
  const bool is_stalled = stalled;
  pthread_mutex_unlock(&lock);
  return is_stalled;
}

// Needs the lock.
static void wait_out_stall(void) {
  while (stalled) pthread_cond_wait(&changed, &lock);
}

void sim_host_waits_for_event(void* event) {
  pthread_mutex_lock(&lock);
  wait_out_stall();
  learn(&host, event);
  pthread_mutex_unlock(&lock);
}

void sim_host_waits_for_stream(void* handle) {
  pthread_mutex_lock(&lock);
  wait_out_stall();
  learn(&host, &find(handle)->known);
  pthread_mutex_unlock(&lock);
}

void sim_host_waits_for_device(void) {
  pthread_mutex_lock(&lock);
  wait_out_stall();
  for (int i = 0; i < STREAMS; ++i) learn(&host, &streams[i].known);
  pthread_mutex_unlock(&lock);
}

// Needs the lock. Is there a use of this memory that `one` does not know to be done?
static bool is_unordered(const stream* one, const char* base, size_t bytes, bool is_write) {
  const size_t count = use_count < USES ? use_count : USES;
  if (uses_of[one->index] == count) return false;
  for (size_t i = 0; i < count; ++i) {
    const use* other = &uses[i];
    if (other->stream == one->index || (!is_write && !other->is_write)) continue;
    const bool overlaps = base < other->base + other->bytes && other->base < base + bytes;
    if (overlaps && one->known.of[other->stream] < other->at) return true;
  }
  return false;
}

static void remember(const stream* one, const char* base, size_t bytes, bool is_write) {
  use* slot = &uses[use_count % USES];
  if (use_count >= USES) --uses_of[slot->stream];
  ++use_count;
  ++uses_of[one->index];
  *slot = (use){base, bytes, one->index, one->known.of[one->index], is_write};
}

// Needs the lock. What kernels on other streams write cannot be seen, so a read that leaves the
// device has to come after all kernels that this thread gave them.
static bool knows_all(const stream* one) {
  for (int i = 0; i < STREAMS; ++i) {
    if (i != one->index && one->known.of[i] < unseen.of[i]) return false;
  }
  return true;
}

static bool tell(bool is_good, const char* what) {
  if (is_good) return true;
  SIM_COUNT(unordered_uses, 1);
  fprintf(
      stderr,
      "localformer: %s uses memory that work on another stream may not be done with: an event is "
      "missing\n",
      what);
  return false;
}

bool sim_copy_in_order(const void* to, size_t to_bytes, const void* from, size_t from_bytes,
                       void* handle) {
  pthread_mutex_lock(&lock);
  const stream* one = work(handle);
  bool is_good = true;
  if (sim_is_device(to)) {
    is_good = !is_unordered(one, to, to_bytes, true);
    remember(one, to, to_bytes, true);
  }
  if (sim_is_device(from)) {
    is_good = is_good && !is_unordered(one, from, from_bytes, false) &&
              (sim_is_device(to) || knows_all(one));
    remember(one, from, from_bytes, false);
  }
  pthread_mutex_unlock(&lock);
  return tell(is_good, "a copy");
}

bool sim_product_in_order(const void* a, const void* b, const void* c, void* handle) {
  pthread_mutex_lock(&lock);
  const stream* one = work_unseen(handle);
  const bool is_good = !is_unordered(one, a, 1, false) && !is_unordered(one, b, 1, false) &&
                       !is_unordered(one, c, 1, true);
  remember(one, a, 1, false);
  remember(one, b, 1, false);
  remember(one, c, 1, true);
  pthread_mutex_unlock(&lock);
  return tell(is_good, "a matrix product");
}

// The simulated card: which one, and its memory.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "simulated.h"

#define GRANULE ((size_t)2 << 20)
#define ARENA ((size_t)4 << 40)

typedef struct {
  char* base;
  size_t bytes;
} range;

// A growing array of ranges, sorted by address.
typedef struct {
  range* items;
  size_t count, room;
} ranges;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sim_card card;
static char* configured;  // What the card was chosen by; NULL: none is yet.
static char* arena;
static ranges reserved, pinned;
static size_t used;

// "name=NVIDIA H100,major=9,..." with bytes and counts in decimal; unknown keys are refused.
static bool read_card(const char* text, sim_card* out) {
  char* copy = strdup(text);
  bool is_good = copy != NULL;
  char* rest = NULL;
  for (char* item = is_good ? strtok_r(copy, ",", &rest) : NULL; item != NULL && is_good;
       item = strtok_r(NULL, ",", &rest)) {
    char* value = strchr(item, '=');
    if (value == NULL) {
      is_good = false;
      break;
    }
    *value++ = 0;
    const size_t number = strtoull(value, NULL, 10);
    if (!strcmp(item, "name")) {
      snprintf(out->name, sizeof out->name, "%s", value);
    } else if (!strcmp(item, "major")) {
      out->major = (int)number;
    } else if (!strcmp(item, "minor")) {
      out->minor = (int)number;
    } else if (!strcmp(item, "kernels")) {
      out->kernels = (int)number;
    } else if (!strcmp(item, "multiprocessors")) {
      out->multiprocessors = (int)number;
    } else if (!strcmp(item, "threadsPerMultiprocessor")) {
      out->threads_per_multiprocessor = (int)number;
    } else if (!strcmp(item, "totalBytes")) {
      out->total_bytes = number;
    } else if (!strcmp(item, "contextBytes")) {
      out->context_bytes = number;
    } else if (!strcmp(item, "sharedBytesPerBlockOptin")) {
      out->shared_bytes_per_block_optin = number;
    } else if (!strcmp(item, "sharedBytesPerMultiprocessor")) {
      out->shared_bytes_per_multiprocessor = number;
    } else if (!strcmp(item, "l2Bytes")) {
      out->l2_bytes = number;
    } else {
      is_good = false;
    }
  }
  free(copy);
  return is_good && out->total_bytes > out->context_bytes && out->multiprocessors > 0 &&
         out->threads_per_multiprocessor > 0;
}

// Needs the lock. Every thread that loads the package says which card it wants: a process has one.
static bool configure(const char* text) {
  sim_card wanted = {.name = "simulated"};
  if (text == NULL) return false;
  if (configured != NULL) return !strcmp(configured, text);
  if (!read_card(text, &wanted)) return false;
  void* space = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED || (configured = strdup(text)) == NULL) return false;
  arena = (char*)space + GRANULE - (uintptr_t)space % GRANULE;
  card = wanted;
  used = card.context_bytes;
  return true;
}

// Before the first use; the loader calls it in every thread that loads the package. 0, or 1 where
// the text is wrong or another card was chosen.
EXPORT int localformer_simulated_configure(const char* text) {
  pthread_mutex_lock(&lock);
  const bool is_done = configure(text);
  pthread_mutex_unlock(&lock);
  return is_done ? 0 : 1;
}

// Other programs, such as Python with these libraries preloaded, say it in the environment.
static void configure_from_environment(void) {
  pthread_mutex_lock(&lock);
  if (configured == NULL && !configure(getenv("LOCALFORMER_SIMULATED_CARD"))) {
    fprintf(stderr, "localformer: no simulated card was chosen\n");
    abort();
  }
  pthread_mutex_unlock(&lock);
}

static void once(void) {
  static pthread_once_t flag = PTHREAD_ONCE_INIT;
  pthread_once(&flag, configure_from_environment);
}

const sim_card* sim_current(void) {
  once();
  return &card;
}

static size_t rounded(size_t bytes) { return (bytes + GRANULE - 1) / GRANULE * GRANULE; }

bool sim_charge(size_t bytes) {
  once();
  pthread_mutex_lock(&lock);
  // No sum that could overflow.
  const bool fits = bytes <= card.total_bytes && rounded(bytes) <= card.total_bytes - used;
  if (fits) used += rounded(bytes);
  pthread_mutex_unlock(&lock);
  if (fits) SIM_COUNT(mallocs, 1);
  return fits;
}

void sim_uncharge(size_t bytes) {
  pthread_mutex_lock(&lock);
  used -= rounded(bytes);
  pthread_mutex_unlock(&lock);
}

// Needs the lock. False: no memory for the list itself.
static bool insert(ranges* list, size_t at, range item) {
  if (list->count == list->room) {
    const size_t room = list->room ? 2 * list->room : 256;
    range* grown = realloc(list->items, room * sizeof *grown);
    if (grown == NULL) return false;
    list->items = grown;
    list->room = room;
  }
  memmove(list->items + at + 1, list->items + at, (list->count++ - at) * sizeof *list->items);
  list->items[at] = item;
  return true;
}

// Needs the lock. Bytes of the range that begins there, which is removed; 0: there is none.
static size_t remove_range(ranges* list, const void* base) {
  for (size_t i = 0; i < list->count; ++i) {
    if (list->items[i].base != base) continue;
    const size_t bytes = list->items[i].bytes;
    memmove(list->items + i, list->items + i + 1, (--list->count - i) * sizeof *list->items);
    return bytes;
  }
  return 0;
}

void* sim_reserve(size_t bytes) {
  once();
  if (bytes == 0 || bytes > ARENA) return NULL;
  const size_t size = rounded(bytes);
  pthread_mutex_lock(&lock);
  char* base = arena;
  size_t at = 0;
  for (; at < reserved.count && (size_t)(reserved.items[at].base - base) < size; ++at) {
    base = reserved.items[at].base + reserved.items[at].bytes;
  }
  const bool fits = (size_t)(arena + ARENA - GRANULE - base) >= size &&
                    insert(&reserved, at, (range){base, size});
  pthread_mutex_unlock(&lock);
  return fits ? base : NULL;
}

static size_t unreserve(void* pointer) {
  pthread_mutex_lock(&lock);
  const size_t bytes = remove_range(&reserved, pointer);
  pthread_mutex_unlock(&lock);
  return bytes;
}

sim_status sim_unreserve(void* pointer) { return unreserve(pointer) ? SIM_OK : SIM_INVALID_VALUE; }

sim_status sim_allocate(void** out, size_t bytes) {
  *out = NULL;
  if (bytes == 0) return SIM_OK;
  if (!sim_charge(bytes)) return SIM_NO_MEMORY;
  *out = sim_reserve(bytes);
  if (*out != NULL) return SIM_OK;
  sim_uncharge(bytes);
  return SIM_NO_MEMORY;
}

sim_status sim_release(void* pointer) {
  if (pointer == NULL) return SIM_OK;
  const size_t bytes = unreserve(pointer);
  if (bytes == 0) return SIM_INVALID_VALUE;
  sim_uncharge(bytes);
  return SIM_OK;
}

bool sim_is_device(const void* pointer) {
  const char* at = pointer;
  return arena != NULL && at >= arena && at < arena + ARENA - GRANULE;
}

void sim_memory(size_t* free_bytes, size_t* total_bytes) {
  once();
  pthread_mutex_lock(&lock);
  *free_bytes = card.total_bytes - used;
  *total_bytes = card.total_bytes;
  pthread_mutex_unlock(&lock);
}

sim_status sim_pin(void* pointer, size_t bytes) {
  pthread_mutex_lock(&lock);
  size_t at = 0;
  while (at < pinned.count && pinned.items[at].base < (char*)pointer) ++at;
  const bool is_done = insert(&pinned, at, (range){pointer, bytes});
  pthread_mutex_unlock(&lock);
  return is_done ? SIM_OK : SIM_NO_MEMORY;
}

sim_status sim_unpin(void* pointer) {
  pthread_mutex_lock(&lock);
  const size_t bytes = remove_range(&pinned, pointer);
  pthread_mutex_unlock(&lock);
  return bytes ? SIM_OK : SIM_INVALID_VALUE;
}

bool sim_is_pinned(const void* pointer) {
  const char* at = pointer;
  bool is_in = false;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < pinned.count && !is_in; ++i) {
    is_in = at >= pinned.items[i].base && at < pinned.items[i].base + pinned.items[i].bytes;
  }
  pthread_mutex_unlock(&lock);
  return is_in;
}

void* sim_handle(void) { return calloc(1, 256); }

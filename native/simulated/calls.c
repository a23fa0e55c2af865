// What was called: counts, kernels by name, functions that fail because a test asked for it.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulated.h"

typedef struct {
  const void* function;  // Address on the host; the key.
  const char* name;      // As the compiler mangled it; lives as long as its library.
  int64_t launches;
} kernel;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// All below are guarded by the lock.
static sim_counts counts;
static kernel* kernels;  // Open addressing; the room is a power of two.
static size_t kernel_count, kernel_room;
static char failing[96];  // Name of the function that is to fail; empty: none.
static int64_t failing_after;
static sim_status failing_status;
static char refused[256][64];  // Copies: a name that was asked for at run time may go away.
static size_t refused_count;

static size_t slot_of(const kernel* table, size_t room, const void* function) {
  size_t at = ((uintptr_t)function >> 4) * 0x9E3779B97F4A7C15u & (room - 1);
  while (table[at].function != NULL && table[at].function != function) at = (at + 1) & (room - 1);
  return at;
}

// Needs the lock. Half of the room at least stays free.
static bool grow(void) {
  if (2 * (kernel_count + 1) <= kernel_room) return true;
  const size_t room = kernel_room ? 2 * kernel_room : 1 << 16;
  kernel* table = calloc(room, sizeof *table);
  if (table == NULL) return false;
  for (size_t i = 0; i < kernel_room; ++i) {
    if (kernels[i].function != NULL) table[slot_of(table, room, kernels[i].function)] = kernels[i];
  }
  free(kernels);
  kernels = table;
  kernel_room = room;
  return true;
}

// Needs the lock. NULL: no memory.
static kernel* find_kernel(const void* function) {
  if (!grow()) return NULL;
  kernel* found = &kernels[slot_of(kernels, kernel_room, function)];
  if (found->function == NULL) {
    found->function = function;
    ++kernel_count;
  }
  return found;
}

void sim_register_kernel(const void* host_function, const char* name) {
  pthread_mutex_lock(&lock);
  kernel* found = find_kernel(host_function);
  if (found != NULL) found->name = name;
  pthread_mutex_unlock(&lock);
}

void sim_launched(const void* host_function) {
  pthread_mutex_lock(&lock);
  ++counts.launches;
  kernel* found = find_kernel(host_function);
  if (found != NULL) ++found->launches;
  pthread_mutex_unlock(&lock);
}

void sim_count(int64_t offset, int64_t by) {
  pthread_mutex_lock(&lock);
  *(int64_t*)((char*)&counts + offset) += by;
  pthread_mutex_unlock(&lock);
}

sim_status sim_enter(const char* name) {
  sim_status status = SIM_OK;
  pthread_mutex_lock(&lock);
  if (failing[0] != 0 && !strcmp(failing, name) && failing_after-- <= 0) {
    status = failing_status;
    failing[0] = 0;
  }
  pthread_mutex_unlock(&lock);
  return status;
}

void sim_refuse(const char* name) {
  bool is_new = true;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < refused_count && is_new; ++i) {
    is_new = strncmp(refused[i], name, sizeof *refused - 1) != 0;
  }
  is_new = is_new && refused_count < sizeof refused / sizeof *refused;
  if (is_new) snprintf(refused[refused_count++], sizeof *refused, "%s", name);
  pthread_mutex_unlock(&lock);
  if (is_new) fprintf(stderr, "localformer: %s is not simulated\n", name);
}

// --- what the addon asks (native/bindings/simulated_functions.cc) --------------------------------
EXPORT void localformer_simulated_counts(sim_counts* out) {
  pthread_mutex_lock(&lock);
  *out = counts;
  pthread_mutex_unlock(&lock);
}

// Every kernel that was launched so far, with how often; `visit` may not launch any.
EXPORT void localformer_simulated_kernels(void (*visit)(void*, const char*, int64_t), void* data) {
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < kernel_room; ++i) {
    const kernel* one = &kernels[i];
    if (one->launches > 0) visit(data, one->name ? one->name : "unknown", one->launches);
  }
  pthread_mutex_unlock(&lock);
}

// The call of this function after `after` others gives `status` and does nothing.
EXPORT void localformer_simulated_fail(const char* name, int64_t after, int status) {
  pthread_mutex_lock(&lock);
  snprintf(failing, sizeof failing, "%s", name);
  failing_after = after;
  failing_status = status;
  pthread_mutex_unlock(&lock);
}

// The torch and the CUDA that the functions were listed from.
EXPORT const char* localformer_simulated_made_for(void) { return "2.11.0 cu13"; }

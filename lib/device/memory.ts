// Memory statistics of a device, as torch.cuda.memory_stats gives them, on the CPU too.

import path from 'node:path'
import { bytesOf } from '../base/bytes.js'
import { expected, LocalformerError } from '../base/errors.js'
import { checkFile, checkKeys, readArgument } from '../base/validate.js'
import type { NativeSegment, NativeSnapshot } from '../native/contract.js'
import { awaitNative, callNative, loadCuda, loadTorch } from '../native/load.js'
import { checkDeviceName, resolveDevice } from './device.js'
import { memoryTable } from './memory-summary.js'

/** One counter: its value now, its highest since the last reset, and what was added and taken. */
export interface Stat {
  readonly current: number
  readonly peak: number
  readonly allocated: number
  readonly freed: number
}

/** A counter over all blocks, and over those of up to 1 MiB (small) and above (large) alone. */
export interface PooledStat {
  readonly all: Stat
  readonly smallPool: Stat
  readonly largePool: Stat
}

/** Counters of an allocator; those that end in `Bytes` are in bytes, the others count. */
export interface MemoryStats {
  /** Blocks handed out. */
  readonly allocation: PooledStat
  /** Stretches of memory taken from the system. */
  readonly segment: PooledStat
  readonly active: PooledStat
  readonly inactiveSplit: PooledStat
  /** Sum of blocks handed out: requests rounded up. */
  readonly allocatedBytes: PooledStat
  /** Taken from the system, in use or kept for reuse. */
  readonly reservedBytes: PooledStat
  readonly activeBytes: PooledStat
  readonly inactiveSplitBytes: PooledStat
  /** What callers asked for, before rounding. */
  readonly requestedBytes: PooledStat
  /** Allocations that succeeded only after the cache was given back. */
  readonly numAllocRetries: number
  /** Allocations that failed. */
  readonly numOoms: number
  /** The same counters under PyTorch's keys, e.g. `allocated_bytes.all.peak`. */
  flat(): Readonly<Record<string, number>>
}

/** A stretch of memory taken from the system, with its blocks in address order. */
export type MemorySegment = NativeSegment

/**
 * Statistics of a device's allocator. `device`: `cpu`, `cuda`, `cuda:N`; default `cpu`.
 *
 * @throws {LocalformerError} `ERR_DEVICE_UNAVAILABLE` where there is no such device.
 */
export function stats(device = 'cpu'): MemoryStats {
  const flat = onDevice(device, (name) => loadTorch().memoryStats(name))
  return { ...nest(flat), flat: () => flat } as MemoryStats
}

/** Bytes in live tensors now. */
export function allocated(device = 'cpu'): number {
  return stats(device).allocatedBytes.all.current
}

/** Highest bytes in live tensors since the start or {@link resetPeakStats}. */
export function maxAllocated(device = 'cpu'): number {
  return stats(device).allocatedBytes.all.peak
}

/** Bytes taken from the system now. */
export function reserved(device = 'cpu'): number {
  return stats(device).reservedBytes.all.current
}

/** Highest bytes taken from the system since the start or {@link resetPeakStats}. */
export function maxReserved(device = 'cpu'): number {
  return stats(device).reservedBytes.all.peak
}

/**
 * Bytes of {@link allocated} that the device's libraries keep for themselves: cuBLAS takes them when a
 * network comes to the device. 0 on the CPU.
 */
export function workspaces(device = 'cpu'): number {
  return onDevice(device, (name) => loadTorch().workspaceBytes(name))
}

/** Starts the peaks anew at the current values. */
export function resetPeakStats(device = 'cpu'): void {
  onDevice(device, (name) => loadTorch().resetPeakMemoryStats(name))
}

/** Starts `allocated` and `freed` of every counter, retries and failures anew at 0. */
export function resetAccumulatedStats(device = 'cpu'): void {
  onDevice(device, (name) => loadTorch().resetAccumulatedMemoryStats(name))
}

/** Gives memory that is kept for reuse back to the system. */
export function emptyCache(device = 'cpu'): void {
  onDevice(device, (name) => loadTorch().emptyCache(name))
}

/**
 * Bytes that are free on the device, and that it has in all: within the limit, if one is set, and on the
 * CPU within the control group's.
 */
export function info(device = 'cpu'): { freeBytes: number; totalBytes: number } {
  return onDevice(device, (name) => loadTorch().memoryInfo(name))
}

/**
 * Upper bound of the memory that tensors on a device may take, in bytes or as text (`4GiB`, `512 MB`); an
 * allocation beyond it fails with `ERR_OUT_OF_MEMORY`. `undefined` or 0: no bound.
 *
 * On the CPU allocated bytes and, once the cache is given back, reserved bytes stay within it. On CUDA, a
 * simulated card too, it is LibTorch's own bound of {@link reserved} bytes, which the device gives in steps
 * of 2 MiB at least: the cache is given back before an allocation fails. What the context takes is in
 * neither. A bound above what the device has is none.
 *
 * @throws {LocalformerError} `ERR_CONFIG`, `ERR_DEVICE_UNAVAILABLE`; `ERR_ADDON_LOAD` where the addon's
 *   CUDA part is missing.
 */
export function setLimit(bytes: number | string | undefined, device = 'cpu'): void {
  const limit = bytes === undefined ? 0 : bytesOf(bytes, 'bytes')
  onDevice(device, (name) => {
    if (name === 'cpu') loadTorch().setCpuMemoryLimit(limit)
    else loadCuda().setMemoryLimit(limit, Number(name.slice('cuda:'.length)))
  })
}

/** What the CPU's allocator holds, segment by segment. */
export function snapshot(): readonly MemorySegment[] {
  return callNative(() => loadTorch().cpuMemorySnapshot())
}

export interface RecordHistoryOptions {
  /** False: recording ends, and what was recorded is forgotten; default true. */
  readonly enabled?: boolean
  /** So many of the last events are kept, 1 to 100,000,000; default 1,000,000. */
  readonly maxEntries?: number
}

/** What {@link dumpSnapshot} wrote. */
export type WrittenSnapshot = Readonly<NativeSnapshot>

/** A day of steps of a small network would be more than memory holds. */
const MAX_ENTRIES = 1_000_000

/**
 * Records every allocation of a device from now on, each with module, phase and operators, for
 * {@link dumpSnapshot}; what was recorded before is forgotten. On CUDA LibTorch does, for all devices.
 * Peaks and results are the same; a step on the CPU takes a little longer.
 *
 * @throws {LocalformerError} `ERR_CONFIG`, `ERR_DEVICE_UNAVAILABLE`; `ERR_ADDON_LOAD` where the addon's
 *   CUDA part is missing.
 */
export function recordMemoryHistory(options: RecordHistoryOptions = {}, device = 'cpu'): void {
  checkKeys(options, 'options', ['enabled', 'maxEntries'])
  const { enabled = true, maxEntries = MAX_ENTRIES } = readArgument('options', () => ({
    ...options,
  }))
  if (typeof enabled !== 'boolean') {
    throw new LocalformerError('ERR_CONFIG', expected('true or false', 'enabled', enabled))
  }
  if (!Number.isInteger(maxEntries) || maxEntries < 1 || maxEntries > 1e8) {
    const what = 'a whole number from 1 to 100000000'
    throw new LocalformerError('ERR_CONFIG', expected(what, 'maxEntries', maxEntries))
  }
  onDevice(device, (name) => {
    if (name !== 'cpu') loadCuda()
    loadTorch().recordMemoryHistory(name, enabled ? maxEntries : 0)
  })
}

/**
 * Writes what the allocator holds and what {@link recordMemoryHistory} has recorded, in the format of
 * `torch.cuda.memory._dump_snapshot`: pytorch.org/memory_viz shows it, `torch.cuda._memory_viz` and
 * `localformer memory summarize` read it. Waits for a step that is under way. The file is whole or not
 * there.
 *
 * @throws {LocalformerError} `ERR_CONFIG` where the file cannot be written; as {@link recordMemoryHistory}.
 */
export async function dumpSnapshot(file: string, device = 'cpu'): Promise<WrittenSnapshot> {
  checkFile(file, 'file')
  const place = path.resolve(file)
  return onDevice(device, (name) => {
    if (name !== 'cpu') loadCuda()
    return awaitNative(() => loadTorch().dumpMemorySnapshot(name, place))
  })
}

/**
 * The table of `torch.cuda.memory_summary()`: same rows, columns and units. That of a CUDA device is PyTorch's
 * to the letter, that of the CPU names no GPU.
 */
export function summary(device = 'cpu'): string {
  return onDevice(device, (name) => memoryTable(loadTorch().memoryStats(name), name))
}

function onDevice<T>(device: string, work: (name: string) => T): T {
  checkDeviceName(device)
  return callNative(() => work(device === 'cpu' ? device : resolveDevice(device).name))
}

// `a_b.c_d.e` -> { aB: { cD: { e } } }
function nest(flat: Readonly<Record<string, number>>): object {
  const root: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(flat)) {
    const path = key.split('.').map(camelCase)
    const last = path.pop() as string
    let at = root
    for (const step of path) {
      at[step] ??= {}
      at = at[step] as Record<string, unknown>
    }
    at[last] = value
  }
  return root
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

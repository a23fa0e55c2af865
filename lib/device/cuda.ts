// torch.cuda's memory interface in camelCase. Calls that need a device fail with
// ERR_DEVICE_UNAVAILABLE on a machine that has none, and say what was looked for.

import { expected, LocalformerError } from '../base/errors.js'
import { callNative, loadCuda } from '../native/load.js'
import { cudaDeviceCount, resolveDevice } from './device.js'
import * as memory from './memory.js'

export interface CudaDeviceProperties {
  readonly name: string
  /** Compute capability. */
  readonly major: number
  readonly minor: number
  readonly totalMemoryBytes: number
  readonly multiProcessorCount: number
  /** Of the card itself, whatever its index: 32 hexadecimal digits. */
  readonly uuid: string
}

/** Is there a CUDA device that LibTorch can use? Never throws for a machine without one. */
export function isAvailable(): boolean {
  return deviceCount() > 0
}

/** Number of CUDA devices; 0 where there is no driver. */
export function deviceCount(): number {
  return cudaDeviceCount()
}

/** Name, compute capability and size of a device; default: the first. */
export function getDeviceProperties(index = 0): CudaDeviceProperties {
  const device = checked(index)
  return callNative(() => loadCuda().deviceProperties(device))
}

/** Waits until all work on a device is done. */
export async function synchronize(index = 0): Promise<void> {
  const device = checked(index)
  callNative(() => loadCuda().synchronize(device))
}

/** Bytes in live tensors. */
export function memoryAllocated(index = 0): number {
  return memory.allocated(name(index))
}

/** Highest bytes in live tensors since the start or {@link resetPeakMemoryStats}. */
export function maxMemoryAllocated(index = 0): number {
  return memory.maxAllocated(name(index))
}

/** Bytes taken from the device. */
export function memoryReserved(index = 0): number {
  return memory.reserved(name(index))
}

/** Highest bytes taken from the device since the start or {@link resetPeakMemoryStats}. */
export function maxMemoryReserved(index = 0): number {
  return memory.maxReserved(name(index))
}

/** Starts the peaks anew at the current values. */
export function resetPeakMemoryStats(index = 0): void {
  memory.resetPeakStats(name(index))
}

/** Starts the accumulated counters anew at 0. */
export function resetAccumulatedMemoryStats(index = 0): void {
  memory.resetAccumulatedStats(name(index))
}

/** All counters; `.flat()` has PyTorch's keys. */
export function memoryStats(index = 0): memory.MemoryStats {
  return memory.stats(name(index))
}

/** The table of `torch.cuda.memory_summary()`. */
export function memorySummary(index = 0): string {
  return memory.summary(name(index))
}

/** Bytes free and in all on the device, other processes included. */
export function memGetInfo(index = 0): { freeBytes: number; totalBytes: number } {
  return memory.info(name(index))
}

/** Gives memory that is kept for reuse back to the device. */
export function emptyCache(index = 0): void {
  memory.emptyCache(name(index))
}

/** Upper bound of what this process may take of a device, as a fraction from 0 to 1. */
export function setPerProcessMemoryFraction(fraction: number, index = 0): void {
  if (typeof fraction !== 'number' || !(fraction >= 0 && fraction <= 1)) {
    throw new LocalformerError('ERR_CONFIG', expected('a number from 0 to 1', 'fraction', fraction))
  }
  const device = checked(index)
  callNative(() => loadCuda().setMemoryFraction(fraction, device))
}

/** Segments and blocks of the device's allocator. */
export function memorySnapshot(index = 0): readonly memory.MemorySegment[] {
  const device = checked(index)
  return callNative(() => loadCuda().memorySnapshot(device))
}

/** Records allocations of all devices, as {@link memory.recordMemoryHistory}. */
export function recordMemoryHistory(options: memory.RecordHistoryOptions = {}, index = 0): void {
  memory.recordMemoryHistory(options, name(index))
}

/** Writes what was recorded of all devices, as {@link memory.dumpSnapshot}. */
export async function dumpSnapshot(file: string, index = 0): Promise<memory.WrittenSnapshot> {
  return memory.dumpSnapshot(file, name(index))
}

function name(index: number): string {
  return `cuda:${checked(index)}`
}

function checked(index: number): number {
  if (!Number.isInteger(index) || index < 0 || index > 999) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('a device index of at least 0', 'index', index),
    )
  }
  return Number(resolveDevice(`cuda:${index}`).name.slice('cuda:'.length))
}

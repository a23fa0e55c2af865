// A simulated CUDA card as scripts ask it: which card it is, and what it was asked to do.
import { requireSimulated } from '../libtorch/cuda-library.js'
import { locateLibtorch } from '../libtorch/locate.js'
import type { NativeDeviceCalls } from '../native/contract.js'
import { callNative, findAddon, loadTorch, simulatedCard } from '../native/load.js'
import type { Card } from '../simulated/cards.js'
import { standIns } from '../simulated/stand-ins.js'

/** Counts of calls since the process began. */
export type DeviceCalls = Readonly<NativeDeviceCalls>

/** A kernel by its demangled name, with how often it was launched. */
export interface Kernel {
  readonly name: string
  readonly launches: number
}

/** The card that this process simulates (`load({ simulate })`, device `sim:NAME`), or undefined. */
export function card(): Card | undefined {
  return simulatedCard()
}

/** What the simulated card was asked to do since the process began; undefined where there is none. */
export function calls(): DeviceCalls | undefined {
  if (simulatedCard() === undefined) return undefined
  return callNative(() => loadTorch().simulatedCalls()) ?? undefined
}

/**
 * @internal What it was asked since `before`; null where no device is simulated. Memory is taken once, so
 * `mallocs` are those of the process.
 */
export function callsSince(before: DeviceCalls | undefined): DeviceCalls | null {
  const now = calls()
  if (before === undefined || now === undefined) return null
  const entries = Object.entries(now).map(([name, count]) => {
    const start = name === 'mallocs' ? 0 : before[name as keyof DeviceCalls]
    return [name, count - start]
  })
  return Object.fromEntries(entries)
}

/**
 * Kernels that the simulated card was given since the process began, the most launched first; none
 * where there is no simulated card.
 */
export function kernels(): readonly Kernel[] {
  if (simulatedCard() === undefined) return []
  const all = callNative(() => loadTorch().simulatedKernels())
  return all.sort((a, b) => b.launches - a.launches || (a.name < b.name ? -1 : 1))
}

/**
 * @internal Whether a process can simulate a card, without loading anything.
 *
 * @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND`, `ERR_LIBTORCH_VERSION`, `ERR_ADDON_LOAD`
 */
export function checkSimulation(): void {
  requireSimulated(locateLibtorch())
  standIns(findAddon())
}

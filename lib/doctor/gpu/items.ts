// The items in order of worth: what comes first is settled even where time runs out.
import type { DeviceKind, GpuDevice, Outcome } from './item.js'
import { outcomeOf, runItem } from './run-item.js'

export interface ItemContext {
  readonly device: GpuDevice
  readonly quick: boolean
  /** What is left to it: its own limit, or less. */
  readonly limitSeconds: number
  readonly signal: AbortSignal | undefined
}

export interface Item {
  readonly id: string
  readonly title: string
  /** Where it can be answered. */
  readonly on: readonly DeviceKind[]
  readonly limitSeconds: number
  run(context: ItemContext): Promise<Outcome>
}

const EVERYWHERE: readonly DeviceKind[] = ['gpu', 'simulated', 'cpu']
/** Memory and calls are those of a card, simulated or not. */
const CARDS: readonly DeviceKind[] = ['gpu', 'simulated']
/** Something is computed. */
const COMPUTING: readonly DeviceKind[] = ['gpu', 'cpu']

const REPEATED = ['paper:4', 'infopro:2', 'paper:2,decoder=conv', 'paper:4,dtype=bfloat16']
const BALANCED = ['paper:4,split=balanced', 'paper:4,split=balanced,recompute=block']

export const ITEMS: readonly Item[] = [
  forked('libraries', 'driver and libraries as loaded', CARDS, 60),
  forked('context', "cuBLAS's workspaces, a context", CARDS, 60),
  forked('gradients', 'gradients against the CPU', COMPUTING, 120),
  ...REPEATED.map((spec) => forked('repeats', 'five steps twice', COMPUTING, 60, spec)),
  ...BALANCED.map((spec) => forked('balanced', 'cuts cold and warm', EVERYWHERE, 60, spec)),
  forked('memory-table', 'memory beside the simulated card', CARDS, 240),
  forked('times', 'step times, GPU busy', COMPUTING, 90),
  forked('out-of-memory', 'out of memory in every phase', EVERYWHERE, 60),
  forked('cublas-memory', 'no memory for cublasCreate', CARDS, 60),
  forked('exits', 'exits in the middle of a step', EVERYWHERE, 120),
]

function forked(
  work: string,
  title: string,
  on: readonly DeviceKind[],
  limitSeconds: number,
  spec?: string,
): Item {
  const of = spec === undefined ? '' : ` ${spec}`
  return {
    ...{ id: `${work}${of}`, title: `${title}${of && `:${of}`}`, on, limitSeconds },
    run: async ({ device, quick, ...options }) =>
      outcomeOf(await runItem({ work, device: device.name, quick, spec }, options)),
  }
}

// How long a step takes, estimated from what it asks of the device: for setting configurations in order,
// not for promising seconds.
import type { Dtype, Precision } from '../local/words.js'
import { type CardRates, ratesOf } from '../simulated/card-rates.js'
import type { Card } from '../simulated/cards.js'
import type { StepWork } from './dry-run.js'

/** Operations and bytes a second, and seconds a launch; what is really had of them. */
export interface UnitCosts {
  readonly float32: number
  readonly bfloat16: number
  readonly bytes: number
  /** Of an operator on the CPU, beside its products and bytes: what its threads wait for each other. */
  readonly operatorSeconds: number
  readonly launchSeconds: number
  readonly transferBytes: number
}

// What well-shaped work has of a card's peaks; eager PyTorch's launches are some microseconds each on the
// host, which go on beside the card's work; pinned copies over PCIe 4.
const OF_PRODUCTS = 0.65
const OF_MEMORY = 0.75
const LAUNCH_SECONDS = 5e-6
const TRANSFER_BYTES = 16e9
// A byte that is allocated is written once, and read once or twice.
const PASSES = 2.5

export function costsOfCard(card: Card, precision: Precision): UnitCosts {
  const rates: CardRates = ratesOf(card)
  const float32 = precision === 'tf32' ? rates.tf32 : rates.float32
  return {
    float32: float32 * OF_PRODUCTS,
    bfloat16: rates.bfloat16 * OF_PRODUCTS,
    bytes: rates.bytes * OF_MEMORY,
    operatorSeconds: 0,
    launchSeconds: LAUNCH_SECONDS,
    transferBytes: TRANSFER_BYTES,
  }
}

/** Of a processor that nothing is known of: for the order of rows alone. */
export const NOMINAL_CPU: UnitCosts = {
  ...{ float32: 2e11, bfloat16: 2e11, bytes: 2e10, transferBytes: 2e10 },
  ...{ operatorSeconds: 5e-5, launchSeconds: 0 },
}

/** Seconds of a step of this work. */
export function stepSecondsOf(work: StepWork, costs: UnitCosts): number {
  const { operations, launches, transferBytes } = work
  const products = operations.float32 / costs.float32 + operations.bfloat16 / costs.bfloat16
  const operators = work.allocations * costs.operatorSeconds
  const device = products + operators + movedBytes(work) / costs.bytes
  const host = (launches ?? 0) * costs.launchSeconds
  // Copies go on beside both.
  return Math.max(device, host, transferBytes / costs.transferBytes)
}

function movedBytes({ allocatedBytes, updatedBytes }: StepWork): number {
  return PASSES * allocatedBytes + 2 * updatedBytes
}

/** A step that was computed. */
export interface TimedStep {
  readonly work: StepWork
  readonly seconds: number
}

/**
 * What an operator costs on a CPU: of steps of few images and of more the products differ, the number of
 * operators hardly does. `bytesASecond`: of memory.
 */
export function operatorSecondsOf(
  few: TimedStep,
  more: TimedStep,
  dtype: Dtype,
  bytesASecond: number,
): number {
  const [a, b] = [few, more].map(({ work }) => work.operations[dtype]) as [number, number]
  const [s, t] = [few, more].map((step) => unmoved(step, bytesASecond)) as [number, number]
  const operators = b * few.work.allocations - a * more.work.allocations
  const most = (MOST_OF_OPERATORS * s) / few.work.allocations
  return Math.min(Math.max((b * s - a * t) / operators, 0), most)
}

/** Operations a second that a step had, after what its bytes and operators take. */
export function operationsASecond(
  step: TimedStep,
  dtype: Dtype,
  { bytes, operatorSeconds }: Pick<UnitCosts, 'bytes' | 'operatorSeconds'>,
): number {
  const left = unmoved(step, bytes)
  const operators = Math.min(step.work.allocations * operatorSeconds, MOST_OF_OPERATORS * left)
  return step.work.operations[dtype] / (left - operators)
}

/** Of a step's time: more of it is the doing of other work on the machine. */
const MOST_OF_OPERATORS = 0.8

/** Seconds of a step beside what its bytes take. */
function unmoved({ work, seconds }: TimedStep, bytesASecond: number): number {
  return seconds - Math.min(movedBytes(work) / bytesASecond, seconds / 2)
}

/** How fast this process copies memory, bytes read and written a second: the best of a few copies. */
export function measureCopies(): number {
  const [from, to] = [Buffer.alloc(COPIED, 1), Buffer.alloc(COPIED, 2)]
  let best = 0
  for (let k = 0; k < 5; k++) {
    const start = performance.now()
    from.copy(to)
    best = Math.max(best, (2 * COPIED) / ((performance.now() - start) / 1000))
  }
  return best
}

const COPIED = 64 * 2 ** 20

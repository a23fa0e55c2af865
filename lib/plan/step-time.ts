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
    launchSeconds: LAUNCH_SECONDS,
    transferBytes: TRANSFER_BYTES,
  }
}

/** Of a processor that nothing is known of: for the order of rows alone. */
export const NOMINAL_CPU: UnitCosts = {
  ...{ float32: 2e11, bfloat16: 2e11, bytes: 2e10, transferBytes: 2e10, launchSeconds: 0 },
}

/** Seconds of a step of this work. */
export function stepSecondsOf(work: StepWork, costs: UnitCosts): number {
  const { operations, allocatedBytes, launches, transferBytes } = work
  const products = operations.float32 / costs.float32 + operations.bfloat16 / costs.bfloat16
  const device = products + (PASSES * allocatedBytes) / costs.bytes
  const host = (launches ?? 0) * costs.launchSeconds
  // Copies go on beside both.
  return Math.max(device, host, transferBytes / costs.transferBytes)
}

/**
 * Unit costs of a CPU, from one step that was computed: what its products took, after what its bytes
 * take, of which the memory's rate is known.
 */
export function costsFromStep(
  work: StepWork,
  seconds: number,
  dtype: Dtype,
  bytesASecond: number,
): Partial<UnitCosts> {
  const moved = Math.min((PASSES * work.allocatedBytes) / bytesASecond, seconds / 2)
  const operations = work.operations[dtype]
  return { [dtype]: operations / (seconds - moved) }
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

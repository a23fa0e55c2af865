// A balanced split: the cuts for which the largest module's peak memory is smallest.
// in: what each unit was measured to take -> out: the index behind the last unit of each module.
import type { NativeUnitCost } from '../native/contract.js'

export type UnitCost = NativeUnitCost

export interface BalanceOptions {
  /** Samples of the batches that will be trained on, over samples of the measured one. */
  readonly scale: number
  /** Do modules keep their input for a reconstruction? */
  readonly reconstructs: boolean
}

/**
 * Estimated bytes beside weights and optimizer state at the peak of a module of units
 * `[begin, end)`: forward keeps what each unit needs for its backward pass, backward gives it back
 * unit by unit while the parameters' gradients gather.
 */
export function modulePeak(
  costs: readonly UnitCost[],
  begin: number,
  end: number,
  { scale, reconstructs }: BalanceOptions,
): number {
  const units = costs.slice(begin, end)
  const first = units[0] as UnitCost
  const last = units[units.length - 1] as UnitCost
  const isLast = end === costs.length
  // The target of the reconstruction; a unit that keeps its input shares it.
  const held = reconstructs && !isLast ? Math.max(0, first.inputBytes - first.keptBytes) * scale : 0
  let kept = held
  let peak = 0
  for (const unit of units) {
    peak = Math.max(peak, kept + unit.forwardPeakBytes * scale)
    kept += unit.keptBytes * scale
  }
  // Losses: the output, its gradient, and in chunks of a sixteenth a few maps of the decoder's size.
  const decoder = reconstructs && !isLast ? (5 / 16) * first.inputBytes * scale : 0
  peak = Math.max(peak, kept + 2 * last.outputBytes * scale + decoder)
  let gradients = 0
  for (const unit of [...units].reverse()) {
    kept -= unit.keptBytes * scale
    const working = (unit.backwardPeakBytes - unit.gradientBytes) * scale + unit.gradientBytes
    peak = Math.max(peak, kept + gradients + working)
    gradients += unit.gradientBytes
  }
  return peak
}

/** Index behind the last unit of each of `modules` modules, at most one a unit. */
export function balance(
  costs: readonly UnitCost[],
  modules: number,
  options: BalanceOptions,
): number[] {
  const count = costs.length
  const peaks = costs.map((_, begin) =>
    costs.map((_unit, last) => (last < begin ? 0 : modulePeak(costs, begin, last + 1, options))),
  )
  // best[end]: of all ways to make k modules of the first `end` units the one with the lowest peak;
  // among equals the one with the smallest sum, so that no module is needlessly large.
  interface Way {
    readonly peak: number
    readonly sum: number
    readonly ends: readonly number[]
  }
  let best: (Way | undefined)[] = Array.from({ length: count + 1 }, () => undefined)
  best[0] = { peak: 0, sum: 0, ends: [] }
  for (let k = 1; k <= modules; k++) {
    best = Array.from({ length: count + 1 }, (_, end) => {
      let found: Way | undefined
      for (let begin = k - 1; begin < end; begin++) {
        const before = best[begin]
        if (!before) continue
        const own = peaks[begin]?.[end - 1] as number
        const peak = Math.max(before.peak, own)
        const sum = before.sum + own
        if (!found || peak < found.peak || (peak === found.peak && sum < found.sum)) {
          found = { peak, sum, ends: [...before.ends, end] }
        }
      }
      return found
    })
  }
  return [...(best[count]?.ends ?? [])]
}

// A balanced split: the cuts for which a step's peak memory is smallest, heads, decoders and their
// optimizer state included.
// in: what each unit was measured to take, and modules measured as they are asked for -> out: the index
// behind the last unit of each module.
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

/** What a module takes: estimated, or as it was measured. */
export interface ModuleCost {
  /** Of head and decoder with their optimizer state; the sum over all modules is always there. */
  readonly residentBytes: number
  /** While the module is trained; only one module is at a time. */
  readonly peakBytes: number
}

/** A way to cut a network. */
export interface Cut {
  /** Index behind the last unit of each module. */
  readonly ends: readonly number[]
  /** Beside the network's weights and optimizer state. */
  readonly bytes: number
}

/**
 * The cut into `modules` modules, at most one a unit, for which what all modules keep and what the largest
 * takes is least together; among equals the one whose modules are smallest together.
 */
export function bestCut(
  units: number,
  modules: number,
  costOf: (begin: number, end: number) => ModuleCost,
): Cut {
  const costs = Array.from({ length: units }, (_, begin) =>
    Array.from({ length: units + 1 }, (_, end) => (end > begin ? costOf(begin, end) : undefined)),
  )
  const peaks = costs.flat().flatMap((cost) => (cost === undefined ? [] : [cost.peakBytes]))
  let best: Cut | undefined
  // With no module above a limit, the sum of what they keep is what is left to choose by.
  for (const limit of [...new Set(peaks)].sort((a, b) => a - b)) {
    if (best !== undefined && limit >= best.bytes) break
    const ends = leastResident(costs, modules, limit)
    if (ends === undefined) continue
    const cut = { ends, bytes: bytesOf(ends, costOf) }
    if (best === undefined || cut.bytes < best.bytes) best = cut
  }
  return best as Cut
}

/** What a cut takes. */
export function bytesOf(
  ends: readonly number[],
  costOf: (begin: number, end: number) => ModuleCost,
): number {
  const own = ends.map((end, k) => costOf(ends[k - 1] ?? 0, end))
  const resident = own.reduce((sum, { residentBytes }) => sum + residentBytes, 0)
  return resident + Math.max(...own.map(({ peakBytes }) => peakBytes))
}

/** Ends of the modules that keep least, none above `limit`; undefined where there are none. */
function leastResident(
  costs: readonly (readonly (ModuleCost | undefined)[])[],
  modules: number,
  limit: number,
): readonly number[] | undefined {
  interface Way {
    readonly resident: number
    readonly peaks: number
    readonly ends: readonly number[]
  }
  const units = costs.length
  let ways: (Way | undefined)[] = Array.from({ length: units + 1 }, () => undefined)
  ways[0] = { resident: 0, peaks: 0, ends: [] }
  for (let k = 1; k <= modules; k++) {
    ways = Array.from({ length: units + 1 }, (_, end) => {
      let found: Way | undefined
      for (let begin = k - 1; begin < end; begin++) {
        const before = ways[begin]
        const own = costs[begin]?.[end]
        if (before === undefined || own === undefined || own.peakBytes > limit) continue
        const resident = before.resident + own.residentBytes
        const peaks = before.peaks + own.peakBytes
        const isBetter =
          found === undefined ||
          resident < found.resident ||
          (resident === found.resident && peaks < found.peaks)
        if (isBetter) found = { resident, peaks, ends: [...before.ends, end] }
      }
      return found
    })
  }
  return ways[units]?.ends
}

export interface BalanceRequest {
  readonly units: number
  readonly modules: number
  /** A guess of a module's peak from what its units take, without its head and decoder. */
  readonly estimate: (begin: number, end: number) => number
  /** What it really takes; undefined where that cannot be, for want of memory. */
  readonly measure: (begin: number, end: number) => Promise<ModuleCost | undefined>
  /** A cut that the answer is never above, `stages` for one. */
  readonly rival: readonly number[] | undefined
}

/**
 * The best cut whose modules were all measured. Cuts are tried from the most promising: what is not
 * measured yet is taken for somewhat less than its estimate, so that too high an estimate hides none.
 */
export async function balance(request: BalanceRequest): Promise<readonly number[]> {
  const { units, modules, estimate, rival } = request
  const measured = new Map<string, ModuleCost>()
  const costOf = (begin: number, end: number): ModuleCost =>
    measured.get(`${begin}-${end}`) ?? {
      residentBytes: 0,
      peakBytes: OPTIMISM * estimate(begin, end),
    }
  const measureAll = async (ends: readonly number[]) => {
    let isNew = false
    for (const [k, end] of ends.entries()) {
      const begin = ends[k - 1] ?? 0
      const key = `${begin}-${end}`
      if (measured.has(key)) continue
      isNew = true
      measured.set(key, (await request.measure(begin, end)) ?? IMPOSSIBLE)
    }
    return isNew
  }
  if (rival !== undefined) await measureAll(rival)
  let best: Cut | undefined
  const consider = (ends: readonly number[]) => {
    const bytes = bytesOf(ends, costOf)
    if (best === undefined || bytes < best.bytes) best = { ends, bytes }
  }
  if (rival !== undefined) consider(rival)
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const { ends } = bestCut(units, modules, costOf)
    const isNew = await measureAll(ends)
    consider(ends)
    // What is left is at best what was found.
    if (!isNew) break
  }
  return (best as Cut).ends
}

/** Estimates lie within so much of what is measured, seldom below. */
const OPTIMISM = 0.85
/** Cuts that are measured, each with few modules that others have not. */
const MOST_TRIES = 40
const IMPOSSIBLE: ModuleCost = { residentBytes: 0, peakBytes: Number.MAX_SAFE_INTEGER }

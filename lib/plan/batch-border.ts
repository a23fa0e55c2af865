// The largest batch of a configuration within what a device has, and within what of it is safe.
// in: a way to try batches -> out: both, each of which ran where one image more did not, or no more was tried
import type { ResolvedConfig } from '../config/resolve.js'
import { pinSplit } from '../local/run-spec.js'
import type { DryRunMeasurement, DryRunRequest, DryRunResult } from './dry-run.js'
import type { DryRunner } from './dry-runner.js'
import { largestBatch, type Taken, type Tried, type TryBatch } from './largest-batch.js'
import type { PlanTarget } from './target.js'

/** What differs between tries. */
export type Changes = Partial<Pick<DryRunRequest, 'batchSize' | 'limitBytes' | 'run'>>

/** Without another process it is the first. */
export type Attempt = (changes: Changes, on?: DryRunner) => Promise<DryRunResult>

/** Of a verdict `fits`, and of `tight`. */
export interface LargestBatch {
  readonly safe: number
  readonly possible: number
  /** A larger batch than the one that is possible was not tried, and may be possible too. */
  readonly isLowerBound: boolean
}

export interface BorderSubject {
  readonly config: ResolvedConfig
  readonly target: PlanTarget
  readonly limits: { readonly possible: number; readonly safe: number }
  readonly attempt: Attempt
  /** Where what is safe is looked for, beside what is possible; undefined: one after the other. */
  readonly beside: DryRunner | undefined
  /** No larger batch is tried; undefined: what {@link mostOf} says. */
  readonly mostImages: number | undefined
}

interface Try {
  readonly batchSize: number
  readonly result: DryRunResult
}

/** Images whose pixels are 2 GiB: more are not tried at once. */
const MOST_PIXEL_BYTES = 2 ** 31
const MOST_IMAGES = 65_536
// A try on the CPU touches a part of its memory, on a real card it trains: both take seconds.
const MOST_IMAGES_ON_CPU = 8192
const COARSE = 0.03
/** While the batch that was asked for is tried, another process tries so many times as many images. */
const AHEAD = 8
/** What took less of a limit was given all that it asked for at once, as it is with more room. */
const AT_EASE = 0.9

export class BatchBorder {
  readonly #subject: BorderSubject
  readonly #tried: Try[] = []
  #ahead: Try | undefined
  #hasFailed = false

  constructor(subject: BorderSubject) {
    this.#subject = subject
  }

  /** A second point of the line that guesses go by, beside the first. */
  async tryAhead(): Promise<void> {
    const { config, attempt, beside, limits } = this.#subject
    if (beside === undefined) return
    const batchSize = Math.min(config.config.training.batchSize * AHEAD, this.#most)
    const result = await attempt({ batchSize, limitBytes: limits.safe }, beside)
    this.#ahead = { batchSize, result }
  }

  /** @param asked The batch that was asked for; with less room, where more would not be safe. */
  async find(asked: Try): Promise<LargestBatch> {
    const found = await this.#find(asked)
    return { ...found, isLowerBound: !this.#hasFailed || found.possible >= this.#most }
  }

  async #find(asked: Try): Promise<{ safe: number; possible: number }> {
    const { limits, beside } = this.#subject
    this.#tried.push(asked)
    const first = this.#within(limits.possible, asked)
    if (beside !== undefined) {
      const firstInLess = this.#within(limits.safe, asked)
      const [possible, safe] = await Promise.all([
        this.#search(asked, limits.possible, [first, ...this.#aheadIn(limits.possible)]),
        this.#search(asked, limits.safe, [firstInLess, ...this.#aheadIn(limits.safe)], beside),
      ])
      return { safe: Math.min(safe, possible), possible }
    }
    const possible = await this.#search(asked, limits.possible, [first])
    if (possible === 0) return { safe: 0, possible }
    // What was tried with more room and took little enough fits into less, and what failed there fails; of
    // others nothing is known.
    const safe = this.#tried.flatMap((one) => {
      const within = this.#within(limits.safe, one)
      return within.taken !== null || one.result.status !== 'ok' ? [within] : []
    })
    if (safe.some(({ batchSize, taken }) => batchSize === possible && taken !== null)) {
      return { safe: possible, possible }
    }
    return { safe: Math.min(await this.#search(asked, limits.safe, safe), possible), possible }
  }

  get #most(): number {
    const { config, target, mostImages = MOST_IMAGES } = this.#subject
    const images = Math.min(mostImages, target.device === 'cpu' ? MOST_IMAGES_ON_CPU : MOST_IMAGES)
    return Math.min(images, Math.floor(MOST_PIXEL_BYTES / (3 * config.network.imageSize ** 2)))
  }

  #within(limit: number, { batchSize, result }: Try): Tried {
    const taken = result.status === 'ok' ? takenOf(this.#subject.target, result) : null
    const fits = taken !== null && taken.reservedBytes <= limit
    if (!fits && limit === this.#subject.limits.possible) this.#hasFailed = true
    return { batchSize, taken: fits ? taken : null }
  }

  #aheadIn(limit: number): readonly Tried[] {
    if (this.#ahead === undefined) return []
    const one = this.#within(limit * AT_EASE, this.#ahead)
    return one.taken !== null || limit === this.#subject.limits.safe
      ? [this.#within(limit, this.#ahead)]
      : []
  }

  async #search(
    asked: Try,
    limit: number,
    known: readonly Tried[],
    on?: DryRunner,
  ): Promise<number> {
    const { config, target, attempt } = this.#subject
    const tolerance = target.card === undefined ? COARSE : 0
    const options = { limit, most: this.#most, tolerance, known }
    const as =
      (changes: Changes): TryBatch =>
      async (batchSize) => {
        const result = await attempt({ ...changes, batchSize, limitBytes: limit }, on)
        // With the cuts of another batch it may do what it does not with its own.
        if (!('run' in changes)) this.#tried.push({ batchSize, result })
        if (result.status !== 'ok' && limit === this.#subject.limits.possible)
          this.#hasFailed = true
        return result.status === 'ok' ? takenOf(target, result) : null
      }
    const pinned = pinnedOf(config, target, asked.result)
    if (pinned === undefined) return largestBatch(as({}), options)
    return largestWithOwnCuts({ own: as({}), others: as(pinned) }, options)
  }
}

/** What is held against a limit: on the CPU what is allocated, of a card what is reserved. */
export function takenOf({ device }: PlanTarget, result: DryRunMeasurement): Taken {
  const { peakAllocatedBytes: allocatedBytes, peakReservedBytes } = result
  return { allocatedBytes, reservedBytes: device === 'cpu' ? allocatedBytes : peakReservedBytes }
}

/**
 * Units that are computed again are measured for a balanced split with the whole batch, which takes as
 * long as a step: there the cuts of the batch that was asked for lead to the border.
 */
function pinnedOf(
  { spec }: ResolvedConfig,
  { device }: PlanTarget,
  result: DryRunResult,
): Changes | undefined {
  const isSlow = spec.split === 'balanced' && spec.given.recompute === 'block' && device !== 'cpu'
  return isSlow && result.status === 'ok' ? { run: pinSplit(spec, result.cuts) } : undefined
}

/**
 * The largest batch as it is cut itself, found from the one that it is with the cuts of another batch:
 * mostly the same, since batches that are alike are cut alike.
 */
async function largestWithOwnCuts(
  { own, others }: { readonly own: TryBatch; readonly others: TryBatch },
  options: Parameters<typeof largestBatch>[1],
): Promise<number> {
  const withOthers: Tried[] = []
  const found = await largestBatch(remembering(others, withOthers), options)
  if (found === 0) return 0
  const known = [...options.known]
  const attempt = remembering(own, known)
  if ((await attempt(found)) !== null && found < options.most) await attempt(found + 1)
  // Below the border what fits with other cuts is taken to fit.
  const below = withOthers.filter(({ batchSize, taken }) => taken !== null && batchSize < found)
  const border = await largestBatch(attempt, { ...options, known: [...below, ...known] })
  if (known.some(({ batchSize, taken }) => batchSize === border && taken !== null)) return border
  return largestBatch(own, { ...options, known })
}

function remembering(attempt: TryBatch, tried: Tried[]): TryBatch {
  return async (batchSize) => {
    const taken = await attempt(batchSize)
    tried.push({ batchSize, taken })
    return taken
  }
}

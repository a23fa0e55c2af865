// The largest batch that a limit leaves room for, to the image.
// in: a way to try a batch -> out: the largest that was tried and fits, the next of which does not

/** What a batch takes at its peak. */
export interface Taken {
  readonly allocatedBytes: number
  /** Taken from the device, fragmentation included; where that is not what is bounded, the same. */
  readonly reservedBytes: number
}

/** What a batch takes; null: more than there is. */
export type TryBatch = (batchSize: number) => Promise<Taken | null>

export interface Tried {
  readonly batchSize: number
  /** Null: more than there is. */
  readonly taken: Taken | null
}

/** Of a guess: a first step beyond one that fits, or below one that does not. */
const FIRST_STEP = 0.01
/** Every further step is so many times the one before. */
const GROWTH = 3

/**
 * @param limit Bytes that there are, for guesses alone.
 * @param known What was tried before, at least one.
 * @param most No larger one is tried.
 * @param tolerance So much of the batch may be missing from the largest, where a try takes long.
 * @returns 0 where not even one image fits.
 */
export async function largestBatch(
  attempt: TryBatch,
  {
    limit,
    known,
    most,
    tolerance = 0,
  }: {
    readonly limit: number
    readonly known: readonly Tried[]
    readonly most: number
    readonly tolerance?: number
  },
): Promise<number> {
  const fitting = known
    .flatMap(({ batchSize, taken }) => (taken === null ? [] : [{ batchSize, ...taken }]))
    .sort((a, b) => a.batchSize - b.batchSize)
  let fits = Math.max(0, ...fitting.map(({ batchSize }) => batchSize))
  let fails = Math.min(
    most + 1,
    ...known.flatMap(({ batchSize, taken }) => (taken === null ? [batchSize] : [])),
  )
  // Where the line through what fits is wrong by little, steps that grow find the border from it.
  let [up, down] = [0, 0]
  const first = (guess: number) => Math.max(1, Math.floor(guess * FIRST_STEP))
  while (fails - fits > 1 + tolerance * fits) {
    const middle = Math.floor((fits + fails) / 2)
    const guess = guessOf(fitting, limit) ?? middle
    let batchSize = guess
    if (guess <= fits) {
      up ||= first(fits)
      batchSize = Math.min(fits + up, middle)
      up *= GROWTH
    } else if (guess >= fails && fails === most + 1) {
      batchSize = most
    } else if (guess >= fails) {
      down ||= first(fails)
      batchSize = Math.max(fails - down, middle)
      down *= GROWTH
    }
    batchSize = Math.min(Math.max(batchSize, fits + 1), fails - 1)
    const taken = await attempt(batchSize)
    if (taken === null) {
      fails = batchSize
    } else {
      fits = batchSize
      fitting.push({ batchSize, ...taken })
    }
  }
  return fits
}

/** A second try is no larger than so many times the first. */
const MOST_RATIO = 16
// Allocated bytes over reserved ones, where a card is nearly full.
const OF_RESERVED = 0.95

interface Fitting extends Taken {
  readonly batchSize: number
}

/**
 * By lines through the last that fits and one that is far enough from it to tell a slope. The line of what
 * is reserved ends too early, since a card that is nearly full makes better use of it; that of what is
 * allocated too late where much is lost between blocks: the border lies between the two.
 */
function guessOf(fitting: readonly Fitting[], limit: number): number | undefined {
  const last = fitting.at(-1)
  if (last === undefined) return undefined
  const before = fitting.findLast(({ batchSize }) => batchSize < last.batchSize * 0.8)
  if (before === undefined) {
    // In proportion, and no further than where a second one is of use.
    const ratio = Math.max(limit / last.reservedBytes, 1.01)
    return Math.ceil(last.batchSize * Math.min(ratio, MOST_RATIO))
  }
  const share = last.allocatedBytes < last.reservedBytes ? OF_RESERVED : 1
  const ends = [
    lineEnd(before, last, ({ allocatedBytes }) => allocatedBytes, limit * share),
    lineEnd(before, last, ({ reservedBytes }) => reservedBytes, limit),
  ].filter((end) => end !== undefined)
  if (ends.length === 0) return undefined
  return Math.floor(ends.reduce((sum, end) => sum + end, 0) / ends.length)
}

/** The batch at which a line through two reaches the limit; undefined where it does not rise. */
function lineEnd(
  before: Fitting,
  last: Fitting,
  bytesOf: (one: Fitting) => number,
  limit: number,
): number | undefined {
  const slope = (bytesOf(last) - bytesOf(before)) / (last.batchSize - before.batchSize)
  return slope > 0 ? last.batchSize + (limit - bytesOf(last)) / slope : undefined
}

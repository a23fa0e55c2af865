// The largest batch that a limit leaves room for, to the image.
// in: a way to try a batch -> out: the largest that was tried and fits, the next of which does not

/** What a batch takes; null: more than there is. */
export type TryBatch = (batchSize: number) => Promise<number | null>

export interface Tried {
  readonly batchSize: number
  /** Peak bytes; null: more than there is. */
  readonly bytes: number | null
}

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
    firstStep,
  }: {
    readonly limit: number
    readonly known: readonly Tried[]
    readonly most: number
    readonly tolerance?: number
    /** From a guess that turns out to be the border or beyond; default: four in a thousand. */
    readonly firstStep?: number
  },
): Promise<number> {
  const fitting = known
    .flatMap(({ batchSize, bytes }) => (bytes === null ? [] : [{ batchSize, bytes }]))
    .sort((a, b) => a.batchSize - b.batchSize)
  let fits = Math.max(0, ...fitting.map(({ batchSize }) => batchSize))
  let fails = Math.min(
    most + 1,
    ...known.flatMap(({ batchSize, bytes }) => (bytes === null ? [batchSize] : [])),
  )
  // Where the line through what fits is wrong by little, steps that double find the border from it.
  let [up, down] = [firstStep ?? 0, firstStep ?? 0]
  const first = () => Math.max(1, Math.floor(fits * 0.004))
  while (fails - fits > 1 + tolerance * fits) {
    const middle = Math.floor((fits + fails) / 2)
    const guess = guessOf(fitting, limit) ?? middle
    let batchSize = guess
    if (guess <= fits) {
      up ||= first()
      batchSize = Math.min(fits + up, middle)
      up *= 2
    } else if (guess >= fails && fails === most + 1) {
      batchSize = most
    } else if (guess >= fails) {
      down ||= first()
      batchSize = Math.max(fails - down, middle)
      down *= 2
    }
    batchSize = Math.min(Math.max(batchSize, fits + 1), fails - 1)
    const bytes = await attempt(batchSize)
    if (bytes === null) {
      fails = batchSize
    } else {
      fits = batchSize
      fitting.push({ batchSize, bytes })
    }
  }
  return fits
}

/** A second try is no larger than so many times the first. */
const MOST_RATIO = 4

interface Fitting {
  readonly batchSize: number
  readonly bytes: number
}

/** By the line through the last that fits and one that is far enough from it to tell a slope. */
function guessOf(fitting: readonly Fitting[], limit: number): number | undefined {
  const last = fitting.at(-1)
  if (last === undefined) return undefined
  const before = fitting.findLast(({ batchSize }) => batchSize < last.batchSize * 0.8)
  if (before === undefined) {
    // In proportion, and no further than where a second one is of use.
    const ratio = Math.max(limit / last.bytes, 1.01)
    return Math.ceil(last.batchSize * Math.min(ratio, MOST_RATIO))
  }
  const slope = (last.bytes - before.bytes) / (last.batchSize - before.batchSize)
  return slope > 0 ? Math.floor(last.batchSize + (limit - last.bytes) / slope) : undefined
}

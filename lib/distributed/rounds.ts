// Work of which every rank does a share, in rounds: behind each all ranks know what the others found, that
// nobody was lost, and whether one was told to stop. in: a number of pieces -> out: what each came to, on
// all ranks.
import { exchangeLong, inGroup } from './group.js'

/** So long is a round meant to take: short beside what anybody waits for, long beside an exchange. */
const ROUND_SECONDS = 2
/** Of a rank. Pieces that take no time at all end a round, too. */
const MOST_PIECES = 256

interface Round<T> {
  readonly results: readonly T[]
  readonly seconds: number
  readonly isStopped: boolean
}

/**
 * Does `work` for every piece from 0 to below `count`, on rank r for r, r + N, r + 2N and so on; all ranks
 * call it at once.
 *
 * @returns What the pieces came to, in their order: plain values, of which numbers may be NaN or infinite.
 * @throws {LocalformerError} `ERR_DISTRIBUTED`, what `work` throws, and where a rank's `signal` aborts an
 *   `AbortError` on all of them, behind the same round.
 */
export async function inRounds<T>(
  count: number,
  work: (piece: number) => Promise<T>,
  signal?: AbortSignal,
): Promise<T[]> {
  const { rank, worldSize } = inGroup().place
  const found: T[] = []
  let pieces = 1
  while (found.length < count) {
    const first = found.length
    const last = Math.min(count, first + pieces * worldSize)
    const started = performance.now()
    const results: T[] = []
    for (let piece = first + rank; piece < last; piece += worldSize) {
      if (signal?.aborted) break
      results.push(await work(piece))
    }
    const seconds = (performance.now() - started) / 1000
    const own: Round<T> = { results, seconds, isStopped: signal?.aborted === true }
    const all = (await exchangeLong('round', toText(own))).map((text) => fromText(text) as Round<T>)
    if (all.some(({ isStopped }) => isStopped)) throw reasonOf(signal)
    for (let piece = first; piece < last; piece++) {
      const at = piece - first
      found.push(all[at % worldSize]?.results[Math.floor(at / worldSize)] as T)
    }
    pieces = nextLength(pieces, Math.max(...all.map((round) => round.seconds)))
  }
  return found
}

/**
 * {@link inRounds} of one process: every piece, one after the other.
 *
 * @throws what `work` throws, and the signal's reason when it aborts.
 */
export async function inTurn<T>(
  count: number,
  work: (piece: number) => Promise<T>,
  signal?: AbortSignal,
): Promise<T[]> {
  const found: T[] = []
  for (let piece = 0; piece < count; piece++) {
    signal?.throwIfAborted()
    found.push(await work(piece))
  }
  return found
}

/** The same on all ranks: from what they told each other. */
function nextLength(pieces: number, slowest: number): number {
  const wanted = Math.floor((pieces * ROUND_SECONDS) / Math.max(slowest, 1e-3))
  // The first pieces of a process take longer than those that follow.
  return Math.max(1, Math.min(wanted, 4 * pieces, MOST_PIECES))
}

function reasonOf(signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason
  return new DOMException('Another rank was told to stop', 'AbortError')
}

/** What JSON makes null of. */
const NO_NUMBERS = ['NaN', 'Infinity', '-Infinity']

const toText = (value: unknown) =>
  JSON.stringify(value, (_, item) =>
    typeof item === 'number' && !Number.isFinite(item) ? { noNumber: String(item) } : item,
  )

const fromText = (text: string): unknown =>
  JSON.parse(text, (_, item) => (NO_NUMBERS.includes(item?.noNumber) ? +item.noNumber : item))

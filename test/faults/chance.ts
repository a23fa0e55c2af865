// What a part of the harness does by chance: a seed makes it repeatable, and it ends with its time.
import { type RandomUint32, randomBelow, randomUint32 } from '../../lib/datasets/shuffle.js'
import type { Tally } from './tally.js'

export interface Settings {
  readonly seed: number
  readonly seconds: number
}

/** What a part is for in `npm test`: a seed that stays, and little time. */
export const SHORT: Settings = { seed: 1, seconds: 10 }

/** More kinds of violations are no help. */
const MOST_KINDS = 20

export class Chance {
  readonly #random: RandomUint32
  readonly #endsAt: number
  readonly #kinds = new Set<string>()

  constructor({ seed, seconds }: Settings) {
    this.#random = randomUint32(seed)
    this.#endsAt = performance.now() + 1000 * seconds
  }

  /** Is there time for another try? */
  get goesOn(): boolean {
    return performance.now() < this.#endsAt && this.#kinds.size < MOST_KINDS
  }

  /** A whole number from 0 to `bound - 1`. */
  below(bound: number): number {
    return randomBelow(this.#random, bound)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  /** Of several violations of one kind the first is told; all are counted. */
  violation(tally: Tally, where: string, what: string, kind = `${where} ${what}`): void {
    tally.count('violations of all kinds')
    if (!this.#kinds.has(kind)) tally.fail(where, what)
    this.#kinds.add(kind)
  }
}

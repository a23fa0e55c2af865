// Values over a long run in bounded memory: neighbouring steps share a bucket that keeps their
// lowest, highest and mean value, so that no spike is lost however many steps there are.

export interface Bucket {
  /** First and last x, e.g. steps. */
  readonly from: number
  readonly to: number
  readonly min: number
  readonly max: number
  readonly mean: number
  /** Values in it. */
  readonly count: number
  /** Sum of what each counts in the mean. */
  readonly weight: number
}

/** Takes values in rising order of x; holds at most `limit` buckets. */
export class Series {
  #width = 1
  readonly #limit: number
  #buckets: Bucket[] = []

  constructor(limit = 96) {
    this.#limit = limit
  }

  /** Leaves out what is no finite number; `weight`: what it counts in means, above 0. */
  add(x: number, y: number, weight = 1): void {
    if (!Number.isFinite(x) || !Number.isFinite(y) || !(weight > 0 && weight < Infinity)) return
    const last = this.#buckets[this.#buckets.length - 1]
    const one = point(x, y, weight)
    if (last !== undefined && last.count < this.#width) {
      this.#buckets[this.#buckets.length - 1] = merge(last, one)
      return
    }
    if (this.#buckets.length >= this.#limit) this.#halve()
    this.#buckets.push(one)
  }

  get buckets(): readonly Bucket[] {
    return this.#buckets
  }

  #halve(): void {
    this.#width *= 2
    const merged: Bucket[] = []
    for (let i = 0; i < this.#buckets.length; i += 2) {
      const [one, other] = this.#buckets.slice(i, i + 2) as [Bucket, Bucket | undefined]
      merged.push(other === undefined ? one : merge(one, other))
    }
    this.#buckets = merged
  }
}

/** A single value. */
export function point(x: number, y: number, weight = 1): Bucket {
  return { from: x, to: x, min: y, max: y, mean: y, count: 1, weight }
}

/** One bucket of several that follow each other; at least one. */
export function joined(buckets: readonly Bucket[]): Bucket {
  return buckets.reduce(merge)
}

/** NaN of none. */
export function meanOf(buckets: readonly Bucket[]): number {
  return buckets.length === 0 ? Number.NaN : joined(buckets).mean
}

function merge(one: Bucket, other: Bucket): Bucket {
  const weight = one.weight + other.weight
  return {
    from: one.from,
    to: other.to,
    min: Math.min(one.min, other.min),
    max: Math.max(one.max, other.max),
    mean: (one.mean * one.weight + other.mean * other.weight) / weight,
    count: one.count + other.count,
    weight,
  }
}

// What a contender's rounds come to.
import { median } from '../../../lib/base/median.js'

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Of all values of all rounds alike; null where there are none. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null
  return {
    median: median(values),
    min: values.reduce((least, value) => Math.min(least, value)),
    max: values.reduce((most, value) => Math.max(most, value)),
  }
}

/** The median of those that are there; null where none is. */
export function medianOf(values: readonly (number | null)[]): number | null {
  return spreadOf(values.filter((value) => value !== null))?.median ?? null
}

export function highestOf(values: readonly (number | null)[]): number | null {
  return spreadOf(values.filter((value) => value !== null))?.max ?? null
}

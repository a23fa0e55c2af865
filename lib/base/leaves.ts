// Nested plain values by their paths, and where two differ.

/** A path at which two values differ, with what stands there as JSON, or `unset`. */
export interface Difference {
  readonly name: string
  readonly one: string
  readonly other: string
}

/** Where two differ, in the order of `other`. */
export function differencesBetween(one: unknown, other: unknown): readonly Difference[] {
  const [left, right] = [leavesOf(one), leavesOf(other)]
  return [...new Set([...right.keys(), ...left.keys()])]
    .map((name) => ({
      name,
      one: left.get(name) ?? 'unset',
      other: right.get(name) ?? 'unset',
    }))
    .filter((difference) => difference.one !== difference.other)
}

/** More are not told one by one. */
const MOST_TOLD = 6

/** The first ones in words of the caller's, and how many more there are. */
export function toldDifferences(
  differences: readonly Difference[],
  wordsOf: (difference: Difference) => string,
): string {
  const rest = differences.length - MOST_TOLD
  const told = differences.slice(0, MOST_TOLD).map(wordsOf)
  return [...told, ...(rest > 0 ? [`and ${rest} more`] : [])].join('; ')
}

/** `model.depths.0` -> `2`: every plain value by its path, as JSON. */
function leavesOf(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null) {
    return new Map(value === undefined ? [] : [[path, JSON.stringify(value)]])
  }
  const entries = Object.entries(value)
  const inner = entries.flatMap(([key, item]) => [
    ...leavesOf(item, path === '' ? key : `${path}.${key}`),
  ])
  return new Map(inner)
}

// The word that somebody meant, for "did you mean".

/** `learning_rate`, `learning-rate` and `learningRate` are the same. */
function plain(name: string): string {
  return name
    .slice(0, 64)
    .toLowerCase()
    .replace(/[-_\s]/g, '')
}

/**
 * Letters to change, add, leave out or swap with the next (optimal string alignment); undefined where
 * two words are not much alike.
 */
export function distanceOf(wanted: string, word: string): number | undefined {
  const [a, b] = [plain(wanted), plain(word)]
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swap = isSwap ? (before[j - 2] ?? 0) + 1 : change
      next.push(Math.min(change, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  const distance = row[b.length] ?? 0
  return distance > Math.max(1, Math.floor(a.length / 3)) ? undefined : distance
}

/** The one of `words` that is most like `wanted`; undefined where none is much like it. */
export function nearestOf(wanted: string, words: readonly string[]): string | undefined {
  let best: { readonly word: string; readonly distance: number } | undefined
  for (const word of words) {
    const distance = distanceOf(wanted, word)
    if (distance === undefined || (best !== undefined && distance >= best.distance)) continue
    best = { word, distance }
  }
  return best?.word
}

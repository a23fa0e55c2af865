// What predicted classes come to: confusion matrix, precision, recall and F1 of each class, as
// scikit-learn defines them; and one image's probabilities. Plain arithmetic, no device.

/** Precision, recall and F1 of one class; 0 where its denominator is 0. */
export interface ClassScore {
  /** Share of the images predicted to be of this class that are. */
  readonly precision: number
  /** Share of the images of this class that were predicted to be. */
  readonly recall: number
  /** Harmonic mean of both. */
  readonly f1: number
  /** Images of this class. */
  readonly count: number
}

/** Probabilities of one image's logits. */
export function softmax(logits: Float32Array): Float64Array {
  const max = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const exponentials = Float64Array.from(logits, (value) => Math.exp(value - max))
  const sum = exponentials.reduce((a, b) => a + b, 0)
  return exponentials.map((value) => value / sum)
}

/** The `count` largest values' places, largest first; of equal ones the lower place first. */
export function largest(values: ArrayLike<number>, count: number): number[] {
  const places = Array.from({ length: values.length }, (_, place) => place)
  return places
    .sort((a, b) => (values[b] as number) - (values[a] as number) || a - b)
    .slice(0, count)
}

/** Counts of images: the row is the true class, the column the predicted one. */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
): number[][] {
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0))
  for (let image = 0; image < predicted.length; image++) {
    const row = matrix[labels[image] as number]
    const column = predicted[image] as number
    // A prediction from logits that are not finite is of no class.
    if (row !== undefined && column >= 0) row[column] = (row[column] as number) + 1
  }
  return matrix
}

/** Precision, recall and F1 of every class. */
export function classScores(
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
): ClassScore[] {
  const [truth, guessed, right] = [0, 1, 2].map(() => new Uint32Array(classes)) as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ]
  const add = (counts: Uint32Array, at: number) => {
    if (at >= 0) counts[at] = (counts[at] as number) + 1
  }
  for (let image = 0; image < predicted.length; image++) {
    const [label, guess] = [labels[image] as number, predicted[image] as number]
    add(truth, label)
    add(guessed, guess)
    if (label === guess) add(right, label)
  }
  return Array.from(truth, (count, label) => {
    const [hits, guesses] = [right[label] as number, guessed[label] as number]
    return {
      precision: guesses === 0 ? 0 : hits / guesses,
      recall: count === 0 ? 0 : hits / count,
      f1: count + guesses === 0 ? 0 : (2 * hits) / (count + guesses),
      count,
    }
  })
}

/** Two classes of which one was taken for the other. */
export interface Confusion {
  readonly label: number
  readonly predicted: number
  readonly count: number
}

/** The `limit` most frequent mistakes of a confusion matrix, most frequent first. */
export function frequentConfusions(matrix: readonly (readonly number[])[], limit: number) {
  return matrix
    .flatMap((row, label): Confusion[] =>
      row.flatMap((count, predicted) =>
        label === predicted || count === 0 ? [] : [{ label, predicted, count }],
      ),
    )
    .sort((a, b) => b.count - a.count || a.label - b.label || a.predicted - b.predicted)
    .slice(0, limit)
}

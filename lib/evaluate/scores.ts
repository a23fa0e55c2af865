// What logits and predicted classes come to: cross-entropy, top-k, confusion matrix, precision,
// recall and F1 of each class, as scikit-learn defines them. Plain arithmetic, no device.
import { expected, LocalformerError } from '../base/errors.js'
import type { Logits } from '../local/trainer.js'

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

/** Sums over the images of a batch. */
export interface LogitScore {
  readonly lossSum: number
  readonly correct: number
  /** Images whose label is among the five largest logits. */
  readonly correctTop5: number
  /** Class of the largest logit of each image, the first one of several. */
  readonly predicted: Int32Array
}

/**
 * Cross-entropy summed over the rows, and how many have the label's logit as the largest one or
 * among the five largest; of equal logits the lower class counts as the larger.
 *
 * @throws {LocalformerError} `ERR_DATASET` for a label that is no class.
 */
export function scoreLogits(logits: Logits, labels: ArrayLike<number>): LogitScore {
  const classes = logits.shape[1] ?? 0
  const predicted = new Int32Array(labels.length)
  let lossSum = 0
  let correct = 0
  let correctTop5 = 0
  for (let row = 0; row < labels.length; row++) {
    const values = logits.data.subarray(row * classes, (row + 1) * classes)
    const label = labels[row] as number
    const own = values[label]
    if (own === undefined) {
      throw new LocalformerError(
        'ERR_DATASET',
        expected(`a class from 0 to ${classes - 1}`, 'labels', label),
      )
    }
    const max = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
    lossSum += max + Math.log(values.reduce((sum, v) => sum + Math.exp(v - max), 0)) - own
    predicted[row] = values.indexOf(max)
    if (predicted[row] === label) correct++
    // Not by comparing numbers that are none.
    if (!Number.isNaN(own) && rankOf(values, label) < 5) correctTop5++
  }
  return { lossSum, correct, correctTop5, predicted }
}

/** Classes whose logit counts as larger than that of `label`. */
function rankOf(values: Float32Array, label: number): number {
  const own = values[label] as number
  return values.reduce(
    (rank, value, k) => rank + (value > own || (value === own && k < label) ? 1 : 0),
    0,
  )
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

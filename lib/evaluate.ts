// Accuracy of a network, or of every module's head, on a split.
import { batches, type ImageSplit } from './datasets/dataset.js'
import { expected, LocalformerError } from './errors.js'
import type { NativeEvaluation } from './native/contract.js'
import { SwinTransformer } from './swin-transformer.js'
import { Trainer } from './trainers.js'
import { integer, lazy, parseOptions, zod } from './validate.js'

export interface EvaluateOptions {
  /** Images at a time; default 128. */
  readonly batchSize?: number
  /** Only the first so many images; default: all. */
  readonly limit?: number
  /** Stops between batches. */
  readonly signal?: AbortSignal
}

export interface Evaluation {
  /** Images looked at. */
  readonly count: number
  /** Of the network's classifier: share of images whose largest logit is the label's. */
  readonly accuracy: number
  /** Mean cross-entropy of the network's classifier. */
  readonly loss: number
  /** The same of every module's head, the classifier last; empty for a plain network. */
  readonly modules: readonly { readonly accuracy: number; readonly loss: number }[]
}

const schema = lazy(() =>
  zod().object({
    batchSize: integer(1).default(128),
    limit: integer(1).optional(),
    signal: zod().instanceof(AbortSignal, { error: 'an AbortSignal' }).optional(),
  }),
)

/**
 * Evaluates a network or a trainer (then every module's head too) on a split of a data set.
 *
 * @throws {LocalformerError} `ERR_CONFIG`, `ERR_DATASET`, `ERR_BUSY`, `ERR_DISPOSED`; the signal's
 *   reason when it aborts.
 */
export async function evaluate(
  subject: SwinTransformer | Trainer,
  split: ImageSplit,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { batchSize, limit, signal } = parseOptions(schema(), options)
  if (!(subject instanceof SwinTransformer) && !(subject instanceof Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a model or a trainer', 'subject', subject))
  }
  checkSplit(split)
  const part = limit === undefined ? split : firstImages(split, limit)
  let sums: { lossSum: number; correct: number }[] = []
  for (const batch of batches(part, { batchSize })) {
    signal?.throwIfAborted()
    const { height, width, mean, std } = split
    const input = { images: batch.images, labels: batch.labels, height, width, mean, std }
    const results =
      subject instanceof Trainer
        ? await subject.evaluate(input)
        : [scoreLogits(await subject.predict(input), batch.labels)]
    sums = results.map((result, k) => ({
      lossSum: (sums[k]?.lossSum ?? 0) + result.lossSum,
      correct: (sums[k]?.correct ?? 0) + result.correct,
    }))
  }
  const scores = sums.map(({ lossSum, correct }) => ({
    accuracy: correct / part.count,
    loss: lossSum / part.count,
  }))
  const own = scores[scores.length - 1] as (typeof scores)[number]
  return { count: part.count, ...own, modules: subject instanceof Trainer ? scores : [] }
}

/**
 * Is it a split, rather than a whole data set or something else?
 *
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function checkSplit(split: ImageSplit): void {
  const { images, labels, count } = (split ?? {}) as Partial<ImageSplit>
  if (images instanceof Uint8Array && labels !== undefined && count !== undefined && count > 0)
    return
  throw new LocalformerError(
    'ERR_CONFIG',
    expected('a split with images', 'split', split === undefined ? split : typeof split),
    { hint: 'A data set has two: data.train and data.test.' },
  )
}

/** The first images of a split, without a copy. */
export function firstImages(split: ImageSplit, count: number): ImageSplit {
  if (count >= split.count) return split
  const bytes = split.channels * split.height * split.width
  return {
    ...split,
    count,
    images: split.images.subarray(0, count * bytes),
    labels: split.labels.subarray(0, count),
  }
}

/** Cross-entropy summed over the rows, and how many have their largest logit at the label. */
function scoreLogits(
  logits: { shape: readonly number[]; data: Float32Array },
  labels: ArrayLike<number>,
): NativeEvaluation {
  const classes = logits.shape[1] ?? 0
  let lossSum = 0
  let correct = 0
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
    if (values.indexOf(max) === label) correct++
  }
  return { lossSum, correct }
}

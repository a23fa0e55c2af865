// Accuracy of a network, or of every module's head, on a split.
// in: a model or a trainer, a split -> out: shares of right answers, and which classes are mixed up.

import { expected, LocalformerError } from '../base/errors.js'
import { integer, lazy, parseOptions, zod } from '../base/validate.js'
import type { ImageBatch } from '../batch/batch.js'
import { checkImages, type ImageSplit } from '../datasets/dataset.js'
import { batches } from '../datasets/draw-batches.js'
import { checkComputes } from '../device/device.js'
import { inGroup } from '../distributed/group.js'
import type { BatchEvaluation } from '../local/evaluation.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import { Trainer } from '../local/trainer.js'
import type { EvaluationFigures } from '../metrics/evaluation-metrics.js'
import { isHandle } from '../native/handle.js'
import { awaitNative } from '../native/load.js'
import { type ClassScore, classScores, confusionMatrix } from './scores.js'

export interface EvaluateOptions {
  /** Images at a time; default 128. */
  readonly batchSize?: number
  /** Only the first so many images; default: all. */
  readonly limit?: number
  /** Stops between batches. */
  readonly signal?: AbortSignal
}

/** What a head says of a split. */
export type HeadEvaluation = EvaluationFigures

/** Of the network's classifier, and of every module's head. */
export interface Evaluation extends HeadEvaluation {
  /** Images looked at. */
  readonly count: number
  /** Of every module's head, the classifier last; empty for a plain network. */
  readonly modules: readonly HeadEvaluation[]
}

/** An evaluation with what the classifier mixes up. */
export interface DetailedEvaluation extends Evaluation {
  /**
   * Counts of images: row the true class, column the predicted one; null for more than 1,000
   * classes.
   */
  readonly confusion: readonly (readonly number[])[] | null
  /** Precision, recall and F1 of every class of the network's classifier. */
  readonly perClass: readonly ClassScore[]
}

/** A larger matrix is for nobody to read, and would take its square in memory. */
const MAX_CONFUSION_CLASSES = 1_000

const schema = lazy(() =>
  zod().object({
    batchSize: integer(1).default(128),
    limit: integer(1).optional(),
    signal: zod().instanceof(AbortSignal, { error: 'an AbortSignal' }).optional(),
  }),
)

/**
 * Evaluates a network or a trainer (then every module's head too: its early exits) on a split of a
 * data set.
 *
 * @throws {LocalformerError} `ERR_CONFIG`, `ERR_DATASET`, `ERR_BUSY`, `ERR_DISPOSED`; the signal's
 *   reason when it aborts.
 */
export async function evaluate(
  subject: SwinTransformer | Trainer,
  split: ImageSplit,
  options: EvaluateOptions = {},
): Promise<DetailedEvaluation> {
  const { evaluation, predicted, labels, classes } = await lookAt(subject, split, options)
  const isSmall = classes <= MAX_CONFUSION_CLASSES
  return {
    ...evaluation,
    confusion: isSmall ? confusionMatrix(labels, predicted, classes) : null,
    perClass: classScores(labels, predicted, classes),
  }
}

/** {@link evaluate} without what is said of each class, for the events of a run. */
export async function evaluateHeads(
  subject: SwinTransformer | Trainer,
  split: ImageSplit,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  return (await lookAt(subject, split, options)).evaluation
}

async function lookAt(
  subject: SwinTransformer | Trainer,
  split: ImageSplit,
  options: EvaluateOptions,
) {
  const { batchSize, limit, signal } = parseOptions(schema(), options)
  if (!isHandle(subject, SwinTransformer) && !isHandle(subject, Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a model or a trainer', 'subject', subject))
  }
  checkSplit(split)
  const part = limit === undefined ? split : firstImages(split, limit)
  const { config, device } = subject instanceof Trainer ? subject.model : subject
  const { classes } = config
  checkComputes(device, 'evaluate')
  const predicted = new Int32Array(part.count)
  const heads = subject instanceof Trainer ? subject.modules.length : 1
  let sums: Sums[] = []
  let [done, count] = [0, 0]
  const division = subject instanceof Trainer ? subject.division : undefined
  for (const batch of batches(part, { batchSize })) {
    const isOwn = division === undefined || count++ % division.replicas === division.replica
    if (!isOwn) {
      done += batch.labels.length
      continue
    }
    // Of several ranks none may leave the others waiting.
    if (division === undefined) signal?.throwIfAborted()
    const results = await scoresOf(subject, batch)
    sums = results.map((result, k) => ({
      lossSum: (sums[k]?.lossSum ?? 0) + result.lossSum,
      correct: (sums[k]?.correct ?? 0) + result.correct,
      correctTop5: (sums[k]?.correctTop5 ?? 0) + result.correctTop5,
    }))
    predicted.set((results[results.length - 1] as BatchEvaluation).predicted, done)
    done += batch.labels.length
  }
  if (division !== undefined) sums = await sumOverRanks(sums, predicted, heads)
  const scores = sums.map(({ lossSum, correct, correctTop5 }) => ({
    accuracy: correct / part.count,
    top5Accuracy: classes > 5 ? correctTop5 / part.count : null,
    loss: lossSum / part.count,
  }))
  const own = scores[scores.length - 1] as HeadEvaluation
  const modules = subject instanceof Trainer ? scores : []
  const evaluation: Evaluation = { count: part.count, ...own, modules }
  return { evaluation, predicted, labels: part.labels, classes }
}

/** Of every head, the classifier last: of a plain network that one alone. */
async function scoresOf(
  subject: SwinTransformer | Trainer,
  batch: ImageBatch,
): Promise<readonly BatchEvaluation[]> {
  if (!(subject instanceof Trainer)) return [await subject.evaluate(batch)]
  return subject.takesBatches ? subject.evaluate(batch) : subject.evaluateHanded()
}

interface Sums {
  readonly lossSum: number
  readonly correct: number
  readonly correctTop5: number
}

/** Every image was looked at by one rank for each head; those that others saw are 0 here. */
async function sumOverRanks(
  sums: readonly Sums[],
  predicted: Int32Array,
  heads: number,
): Promise<Sums[]> {
  const own = Array.from({ length: heads }, (_, k) => sums[k] ?? NOTHING)
  const { native } = inGroup()
  const values = [...own.flatMap((of) => [of.lossSum, of.correct, of.correctTop5]), ...predicted]
  const all = await awaitNative(() => native.sum(values))
  predicted.set(all.slice(3 * heads))
  return own.map((_, k) => ({
    lossSum: all[3 * k] as number,
    correct: all[3 * k + 1] as number,
    correctTop5: all[3 * k + 2] as number,
  }))
}

const NOTHING: Sums = { lossSum: 0, correct: 0, correctTop5: 0 }

/**
 * Is it a split, rather than a whole data set or something else?
 *
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function checkSplit(split: ImageSplit): void {
  checkImages(split)
  const { std } = split
  // Pixels are divided by it.
  if (std === undefined || std.every((value) => value > 0)) return
  throw new LocalformerError('ERR_CONFIG', expected('three numbers above 0', 'std', std), {
    hint: 'A channel that is the same everywhere has none; a data set of your own can be given `std`.',
  })
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

// Accuracy of a network, or of every module's head, on a split.
// in: a model or a trainer, a split -> out: shares of right answers, and which classes are mixed up.

import { expected, LocalformerError } from '../base/errors.js'
import { boolean, integer, lazy, parseOptions, zod } from '../base/validate.js'
import type { ImageBatch } from '../batch/batch.js'
import { checkImages, type ImageSplit } from '../datasets/dataset.js'
import { batchCount, takeImages } from '../datasets/draw-batches.js'
import { fingerprint } from '../datasets/fingerprint.js'
import { checkComputes } from '../device/device.js'
import { agree, inGroup } from '../distributed/group.js'
import { inRounds, inTurn } from '../distributed/rounds.js'
import type { BatchEvaluation } from '../local/evaluation.js'
import type { Division } from '../local/parallel.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import { Trainer } from '../local/trainer.js'
import type { EvaluationFigures } from '../metrics/evaluation-metrics.js'
import { isHandle } from '../native/handle.js'
import { awaitNative } from '../native/load.js'
import { type ClassScore, classScores, confusionMatrix } from './scores.js'
import { agreeOnShares } from './shares.js'

export interface EvaluateOptions {
  /** Images at a time; default 128. */
  readonly batchSize?: number
  /** Only the first so many images; default: all. */
  readonly limit?: number
  /**
   * All ranks of the process group ask for it at once, and each looks at its share of the batches; all get
   * the same answer, that of one process. Default false; a trainer that was parallelized always does so.
   */
  readonly shared?: boolean
  /** Stops between batches; of several ranks all of them. */
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
    shared: boolean().default(false),
    signal: zod().instanceof(AbortSignal, { error: 'an AbortSignal' }).optional(),
  }),
)

/**
 * Evaluates a network or a trainer (then every module's head too: its early exits) on a split of a
 * data set.
 *
 * @throws {LocalformerError} `ERR_CONFIG`, also where ranks that share it were given different things;
 *   `ERR_DATASET`, `ERR_BUSY`, `ERR_DISPOSED`, `ERR_DISTRIBUTED`; the signal's reason when it aborts.
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
  const { batchSize, limit, shared, signal } = parseOptions(schema(), options)
  if (!isHandle(subject, SwinTransformer) && !isHandle(subject, Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a model or a trainer', 'subject', subject))
  }
  checkSplit(split)
  const part = limit === undefined ? split : firstImages(split, limit)
  const { config, device } = subject instanceof Trainer ? subject.model : subject
  const { classes } = config
  checkComputes(device, 'evaluate')
  const count = batchCount(part, { batchSize })
  const look = async (k: number): Promise<BatchScores> => {
    const end = Math.min(part.count, (k + 1) * batchSize)
    const places = Uint32Array.from({ length: end - k * batchSize }, (_, i) => k * batchSize + i)
    const heads = await scoresOf(subject, takeImages(part, places))
    const { predicted } = heads[heads.length - 1] as BatchEvaluation
    const sums = heads.map(({ lossSum, correct, correctTop5 }) => [lossSum, correct, correctTop5])
    return { sums: sums as unknown as Sums[], predicted: [...predicted] }
  }
  const division = subject instanceof Trainer ? subject.division : undefined
  let found: readonly BatchScores[]
  if (division !== undefined) {
    const sizes = Array.from({ length: count }, (_, k) =>
      Math.min(batchSize, part.count - k * batchSize),
    )
    await agree('evaluation', { images: part.count, batchSize })
    found = await lookDivided(subject as Trainer, division, sizes, look)
  } else if (shared) {
    await agreeOnShares('evaluation', subject, {
      ...{ images: part.count, imagesSha256: await fingerprint(part), batchSize },
      ...{ mean: part.mean, std: part.std },
    })
    found = await inRounds(count, look, signal)
  } else {
    found = await inTurn(count, look, signal)
  }
  // Added up batch by batch, whoever looked at which.
  const sums = found.map((batch) => batch.sums).reduce(added)
  const predicted = Int32Array.from(found.flatMap((batch) => batch.predicted))
  const scores = sums.map(([lossSum, correct, correctTop5]) => ({
    accuracy: correct / part.count,
    top5Accuracy: classes > 5 ? correctTop5 / part.count : null,
    loss: lossSum / part.count,
  }))
  const own = scores[scores.length - 1] as HeadEvaluation
  const modules = subject instanceof Trainer ? scores : []
  const evaluation: Evaluation = { count: part.count, ...own, modules }
  return { evaluation, predicted, labels: part.labels, classes }
}

/** Of a head: summed loss, right answers, those among the five largest. */
type Sums = readonly [lossSum: number, correct: number, correctTop5: number]

/** What is kept of a batch, as plain values. */
interface BatchScores {
  /** Of every head, the classifier last. */
  readonly sums: readonly Sums[]
  readonly predicted: readonly number[]
}

const added = (sums: readonly Sums[], more: readonly Sums[]): readonly Sums[] =>
  sums.map(([loss, correct, top5], k) => {
    const [moreLoss, moreCorrect, moreTop5] = more[k] as Sums
    return [loss + moreLoss, correct + moreCorrect, top5 + moreTop5]
  })

/** Of every head, the classifier last: of a plain network that one alone. */
async function scoresOf(
  subject: SwinTransformer | Trainer,
  batch: ImageBatch,
): Promise<readonly BatchEvaluation[]> {
  if (!(subject instanceof Trainer)) return [await subject.evaluate(batch)]
  return subject.takesBatches ? subject.evaluate(batch) : subject.evaluateHanded()
}

type Look = (batch: number) => Promise<BatchScores>

const NOTHING: BatchScores = { sums: [], predicted: [] }

/**
 * A parallelized trainer's: features go from stage to stage, and the ranks of a stage take turns. Every
 * image was looked at by one rank for each head; those that others saw are 0 here. None may leave the
 * others waiting, so that a signal stops a training behind it.
 */
async function lookDivided(
  trainer: Trainer,
  { replica, replicas }: Division,
  sizes: readonly number[],
  look: Look,
): Promise<BatchScores[]> {
  const heads = trainer.modules.length
  const nothing = Array.from({ length: heads }, (): Sums => [0, 0, 0])
  const values: number[] = []
  for (const [k, size] of sizes.entries()) {
    const { sums, predicted } = k % replicas === replica ? await look(k) : NOTHING
    // A rank without the last module predicts nothing.
    const classes = Array.from({ length: size }, (_, image) => predicted[image] ?? 0)
    values.push(...nothing.flatMap((none, head) => sums[head] ?? none), ...classes)
  }
  const { native } = inGroup()
  const all = await awaitNative(() => native.sum(values))
  let at = 0
  return sizes.map((size) => {
    const sums = nothing.map((_, k) => all.slice(at + 3 * k, at + 3 * k + 3) as unknown as Sums)
    at += 3 * heads + size
    return { sums, predicted: all.slice(at - size, at) }
  })
}

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

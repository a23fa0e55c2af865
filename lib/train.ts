// The training loop as an asynchronous generator of events: dataset -> batches -> steps -> events.
import type { z } from 'zod'
import { batchCount, batches, type Dataset } from './datasets/dataset.js'
import { expected, LocalformerError } from './errors.js'
import { checkSplit, type Evaluation, evaluate, firstImages } from './evaluate.js'
import type { ModuleStep } from './module-trainer.js'
import { learningRateAt } from './schedule.js'
import { Trainer } from './trainers.js'
import { boolean, integer, lazy, number, parseOptions, zod } from './validate.js'

export interface TrainOptions {
  /** Passes over the training split; default 1. */
  readonly epochs?: number
  /** Images in a batch; the last one of an epoch is left out where it is not full. Default 128. */
  readonly batchSize?: number
  /** Highest learning rate, of every module; default 1e-3. */
  readonly learningRate?: number
  /** Share of the steps in which the learning rate rises; default 0.05. */
  readonly warmup?: number
  /** Of the order of the images, crops and flips; default 0. */
  readonly seed?: number
  /** Random crop after reflecting so many pixels at each edge; default 4. */
  readonly cropPadding?: number
  /** Mirror half of the images; default true. */
  readonly flip?: boolean
  /** Stops after so many steps in all; default: when the epochs are done. */
  readonly maxSteps?: number
  /** Only the first so many training images; default: all. */
  readonly trainLimit?: number
  /** Only the first so many test images; default: all. 0: no evaluation. */
  readonly testLimit?: number
  /** Stops between two steps with everything intact; the generator then throws its reason. */
  readonly signal?: AbortSignal
}

export interface ModuleProgress extends ModuleStep {
  /** Of the module's head on the batch. */
  readonly accuracy: number
}

export type TrainEvent =
  | {
      readonly type: 'step'
      readonly epoch: number
      /** From 1. */
      readonly step: number
      readonly totalSteps: number
      readonly learningRate: number
      readonly modules: readonly ModuleProgress[]
      readonly peakAllocatedBytes: number
      readonly peakReservedBytes: number
      readonly seconds: number
      readonly imagesPerSecond: number
    }
  | {
      readonly type: 'epoch'
      readonly epoch: number
      readonly epochs: number
      /** Means over the epoch. */
      readonly modules: readonly {
        readonly labelLoss: number
        readonly reconstructionLoss: number
        readonly accuracy: number
      }[]
      readonly seconds: number
    }
  | ({ readonly type: 'evaluation'; readonly epoch: number } & Evaluation)
  | {
      readonly type: 'done'
      readonly steps: number
      readonly seconds: number
      readonly peakAllocatedBytes: number
      readonly evaluation: Evaluation | null
    }

const schema = lazy(() =>
  zod().object({
    epochs: integer(1).default(1),
    batchSize: integer(1).default(128),
    learningRate: number(0).default(1e-3),
    warmup: number(0, { max: 1 }).default(0.05),
    seed: integer(0).default(0),
    cropPadding: integer(0).default(4),
    flip: boolean().default(true),
    maxSteps: integer(1).optional(),
    trainLimit: integer(1).optional(),
    testLimit: integer(0).optional(),
    signal: zod().instanceof(AbortSignal, { error: 'an AbortSignal' }).optional(),
  }),
)

/** Options of a training run with every default filled in. */
export type ResolvedTrainOptions = z.output<ReturnType<typeof schema>>

/** @throws {LocalformerError} `ERR_CONFIG` */
export function resolveTrainOptions(options: TrainOptions = {}): ResolvedTrainOptions {
  return parseOptions(schema(), options)
}

/**
 * Trains on a data set; every event is given when it happened.
 *
 * ```ts
 * for await (const event of train(trainer, data, { epochs: 10 })) {
 *   if (event.type === 'epoch') console.log(event.epoch, event.modules)
 * }
 * ```
 *
 * @throws {LocalformerError} `ERR_CONFIG`, and what a trainer's `step` throws; the signal's reason
 *   when it aborts.
 */
export async function* train(
  trainer: Trainer,
  data: Dataset,
  options: TrainOptions = {},
): AsyncGenerator<TrainEvent, void, undefined> {
  const o = resolveTrainOptions(options)
  if (!(trainer instanceof Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a trainer', 'trainer', typeof trainer))
  }
  checkSplit(data?.train)
  checkSplit(data?.test)
  checkFits(trainer, data)
  const split = firstImages(data.train, o.trainLimit ?? data.train.count)
  const order = { batchSize: o.batchSize, seed: o.seed, shuffle: true, dropLast: true }
  const perEpoch = batchCount(split, order)
  if (perEpoch === 0) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `Expected at most ${split.count} for \`batchSize\` but received ${o.batchSize}`,
      { hint: `The training split has ${split.count} images, and only full batches are used.` },
    )
  }
  const totalSteps = Math.min(o.maxSteps ?? Number.POSITIVE_INFINITY, perEpoch * o.epochs)
  const schedule = {
    learningRate: o.learningRate,
    warmupSteps: Math.round(o.warmup * totalSteps),
    totalSteps,
  }
  const start = performance.now()
  let step = 0
  let peakAllocatedBytes = 0
  let evaluation: Evaluation | null = null
  for (let epoch = 1; step < totalSteps; epoch++) {
    const epochStart = performance.now()
    const means = new Means()
    for (const batch of batches(split, { ...order, epoch })) {
      if (step === totalSteps) break
      o.signal?.throwIfAborted()
      const learningRate = learningRateAt(step, schedule)
      const { height, width, mean, std } = split
      // One seed a batch, so that a step's augmentation does not depend on the steps before it.
      const augment = {
        cropPadding: o.cropPadding,
        flip: o.flip,
        seed: (o.seed % 2 ** 28) * 2 ** 24 + step,
      }
      const started = performance.now()
      const result = await trainer.step(
        { images: batch.images, labels: batch.labels, height, width, mean, std, augment },
        { learningRate },
      )
      const seconds = (performance.now() - started) / 1000
      step++
      peakAllocatedBytes = Math.max(peakAllocatedBytes, result.peakAllocatedBytes)
      const modules = result.modules.map((module) => ({
        ...module,
        accuracy: module.correct / batch.labels.length,
      }))
      means.add(modules)
      yield {
        type: 'step',
        epoch,
        step,
        totalSteps,
        learningRate,
        modules,
        peakAllocatedBytes: result.peakAllocatedBytes,
        peakReservedBytes: result.peakReservedBytes,
        seconds,
        imagesPerSecond: batch.labels.length / seconds,
      }
    }
    const seconds = (performance.now() - epochStart) / 1000
    yield { type: 'epoch', epoch, epochs: o.epochs, modules: means.take(), seconds }
    if (o.testLimit !== 0) {
      evaluation = await evaluate(trainer, data.test, {
        ...(o.testLimit === undefined ? {} : { limit: o.testLimit }),
        ...(o.signal === undefined ? {} : { signal: o.signal }),
      })
      yield { type: 'evaluation', epoch, ...evaluation }
    }
  }
  const seconds = (performance.now() - start) / 1000
  yield { type: 'done', steps: step, seconds, peakAllocatedBytes, evaluation }
}

function checkFits(trainer: Trainer, data: Dataset): void {
  const { classes } = trainer.model.config
  if (data.classes.length <= classes) return
  throw new LocalformerError(
    'ERR_CONFIG',
    `Data set ${data.name} has ${data.classes.length} classes, the model ${classes}`,
    { hint: `Create the model with classes: ${data.classes.length}.` },
  )
}

/** Means of each module's losses and accuracy. */
class Means {
  #count = 0
  #sums: { labelLoss: number; reconstructionLoss: number; accuracy: number }[] = []

  add(modules: readonly ModuleProgress[]): void {
    this.#count++
    this.#sums = modules.map((module, k) => ({
      labelLoss: (this.#sums[k]?.labelLoss ?? 0) + module.labelLoss,
      reconstructionLoss: (this.#sums[k]?.reconstructionLoss ?? 0) + module.reconstructionLoss,
      accuracy: (this.#sums[k]?.accuracy ?? 0) + module.accuracy,
    }))
  }

  take() {
    return this.#sums.map((sum) => ({
      labelLoss: sum.labelLoss / this.#count,
      reconstructionLoss: sum.reconstructionLoss / this.#count,
      accuracy: sum.accuracy / this.#count,
    }))
  }
}

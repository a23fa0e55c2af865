// The training loop as an asynchronous generator of events: dataset -> batches -> steps -> events.
import type { z } from 'zod'
import {
  type Batch,
  type BatchOptions,
  batchCount,
  batches,
  type Dataset,
  type ImageSplit,
} from './datasets/dataset.js'
import { expected, LocalformerError } from './errors.js'
import { checkSplit, type Evaluation, evaluate, firstImages } from './evaluate.js'
import type { ModuleStep } from './module-trainer.js'
import { learningRateAt } from './schedule.js'
import { Trainer } from './trainers.js'
import { boolean, integer, lazy, number, oneOf, parseOptions, zod } from './validate.js'

export const SCHEDULES = ['together', 'sequential'] as const

export interface TrainOptions {
  /**
   * `together`, the default: every step trains all modules. `sequential`: the modules are trained one
   * after the other, each for all the epochs with a learning rate that rises and falls anew; those
   * before it only pass features on, in evaluation mode, those behind it do not run, and only its own
   * optimizer is in memory. Modules that are frozen when training begins have no turn.
   */
  readonly schedule?: (typeof SCHEDULES)[number]
  /** Passes over the training split, for `sequential` of each module; default 1. */
  readonly epochs?: number
  /** Images in a batch; the last one of an epoch is left out where it is not full. Default 128. */
  readonly batchSize?: number
  /** Highest learning rate of every module, or a list, one for each of them; default 1e-3. */
  readonly learningRate?: number | readonly number[]
  /** Share of the steps in which the learning rate rises; default 0.05. */
  readonly warmup?: number
  /** Of the order of the images, crops and flips; default 0. */
  readonly seed?: number
  /** Random crop after reflecting so many pixels at each edge; default 4. */
  readonly cropPadding?: number
  /** Mirror half of the images; default true. */
  readonly flip?: boolean
  /** Stops after so many steps, for `sequential` of each module; default: with the epochs. */
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
      /** From 1; for `sequential`, as everywhere, counted on over the modules. */
      readonly epoch: number
      /** Index of the module that is trained; null: all together. */
      readonly activeModule: number | null
      /** From 1. */
      readonly step: number
      readonly totalSteps: number
      /** The highest of the modules' in this step. */
      readonly learningRate: number
      /** Those that ran; one that passed features on has `learned: false`. */
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
      readonly activeModule: number | null
      /** Means over the epoch, of the modules that ran. */
      readonly modules: readonly {
        readonly labelLoss: number
        readonly reconstructionLoss: number
        readonly accuracy: number
      }[]
      readonly seconds: number
    }
  /** Of every head; for `sequential` those behind the active module are still as they began. */
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
    schedule: oneOf(SCHEDULES).default('together'),
    epochs: integer(1).default(1),
    batchSize: integer(1).default(128),
    learningRate: zod()
      .union([number(0), zod().array(number(0))], {
        error: 'a number of at least 0, or a list of them, one a module,',
      })
      .default(1e-3),
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
  const run = planRun(trainer, data, resolveTrainOptions(options))
  const start = performance.now()
  for (const phase of run.phases) {
    const { activeModule } = phase
    if (activeModule !== null) {
      for (const module of trainer.modules) await module.releaseOptimizer()
    }
    yield* runPhase(run, phase)
    if (activeModule !== null) await trainer.modules[activeModule]?.releaseOptimizer()
  }
  const { step: steps, peakAllocatedBytes, evaluation } = run
  const seconds = (performance.now() - start) / 1000
  yield { type: 'done', steps, seconds, peakAllocatedBytes, evaluation }
}

/** A stretch of a run with its own rise and fall of the learning rate. */
interface Phase {
  readonly activeModule: number | null
  /** Highest learning rate of the modules that run, from the first; null only passes features on. */
  readonly rates: readonly (number | null)[]
}

/** What is asked for, and how far it is. */
interface Run {
  readonly trainer: Trainer
  readonly data: Dataset
  readonly options: ResolvedTrainOptions
  readonly split: ImageSplit
  readonly order: BatchOptions
  readonly phases: readonly Phase[]
  readonly stepsPerPhase: number
  step: number
  epoch: number
  peakAllocatedBytes: number
  evaluation: Evaluation | null
}

function planRun(trainer: Trainer, data: Dataset, o: ResolvedTrainOptions): Run {
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
  const stepsPerPhase = Math.min(o.maxSteps ?? Number.POSITIVE_INFINITY, perEpoch * o.epochs)
  return {
    ...{ trainer, data, options: o, split, order, stepsPerPhase },
    phases: phasesOf(trainer, o),
    ...{ step: 0, epoch: 0, peakAllocatedBytes: 0, evaluation: null },
  }
}

function phasesOf({ modules }: Trainer, { schedule, learningRate }: ResolvedTrainOptions): Phase[] {
  const rates = typeof learningRate === 'number' ? modules.map(() => learningRate) : learningRate
  if (rates.length !== modules.length) {
    const what = `a number, or a list of ${modules.length}, one a module,`
    throw new LocalformerError('ERR_CONFIG', expected(what, 'learningRate', rates))
  }
  if (schedule === 'together') return [{ activeModule: null, rates }]
  return modules
    .filter((module) => !module.frozen)
    .map(({ index }) => ({
      activeModule: index,
      rates: rates.slice(0, index + 1).map((rate, k) => (k === index ? rate : null)),
    }))
}

async function* runPhase(run: Run, phase: Phase): AsyncGenerator<TrainEvent, void, undefined> {
  const { options: o, trainer, data } = run
  const end = run.step + run.stepsPerPhase
  while (run.step < end) {
    run.epoch++
    yield* runEpoch(run, phase, end)
    if (o.testLimit === 0) continue
    run.evaluation = await evaluate(trainer, data.test, {
      ...(o.testLimit === undefined ? {} : { limit: o.testLimit }),
      ...(o.signal === undefined ? {} : { signal: o.signal }),
    })
    yield { type: 'evaluation', epoch: run.epoch, ...run.evaluation }
  }
}

async function* runEpoch(
  run: Run,
  phase: Phase,
  end: number,
): AsyncGenerator<TrainEvent, void, undefined> {
  const { epoch, phases, options } = run
  const { activeModule } = phase
  const start = performance.now()
  const means = new Means()
  for (const batch of batches(run.split, { ...run.order, epoch })) {
    if (run.step === end) break
    options.signal?.throwIfAborted()
    const event = await runStep(run, phase, end, batch)
    means.add(event.modules)
    yield event
  }
  const seconds = (performance.now() - start) / 1000
  const epochs = phases.length * options.epochs
  yield { type: 'epoch', epoch, epochs, activeModule, modules: means.take(), seconds }
}

async function runStep(run: Run, phase: Phase, end: number, batch: Batch) {
  const { options: o, split, stepsPerPhase, phases } = run
  const { images, labels } = batch
  const { height, width, mean, std } = split
  // One seed a batch, so that a step's augmentation does not depend on the steps before it.
  const seed = (o.seed % 2 ** 28) * 2 ** 24 + run.step
  const augment = { cropPadding: o.cropPadding, flip: o.flip, seed }
  const rates = ratesAt(run.step - (end - stepsPerPhase), phase, run)
  const started = performance.now()
  const result = await run.trainer.step(
    { images, labels, height, width, mean, std, augment },
    { learningRate: rates },
  )
  const seconds = (performance.now() - started) / 1000
  const { peakAllocatedBytes, peakReservedBytes } = result
  run.step++
  run.peakAllocatedBytes = Math.max(run.peakAllocatedBytes, peakAllocatedBytes)
  return {
    type: 'step',
    epoch: run.epoch,
    activeModule: phase.activeModule,
    step: run.step,
    totalSteps: phases.length * stepsPerPhase,
    learningRate: Math.max(...rates.map((rate) => rate ?? 0)),
    modules: result.modules.map((module) => ({
      ...module,
      accuracy: module.correct / labels.length,
    })),
    ...{ peakAllocatedBytes, peakReservedBytes, seconds },
    imagesPerSecond: labels.length / seconds,
  } satisfies TrainEvent
}

/** Learning rates in a phase's step, counted from 0. */
function ratesAt(step: number, { rates }: Phase, { options, stepsPerPhase: totalSteps }: Run) {
  const warmupSteps = Math.round(options.warmup * totalSteps)
  return rates.map((rate) =>
    rate === null ? null : learningRateAt(step, { learningRate: rate, warmupSteps, totalSteps }),
  )
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

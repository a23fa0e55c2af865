// A training run under way: what is asked for, how far it is, and its state as a checkpoint has it.

import { expected, LocalformerError } from '../base/errors.js'
import { augmentationOf } from '../batch/augmentation.js'
import { checkDataset, type Dataset, type ImageSplit } from '../datasets/dataset.js'
import { type BatchOptions, batchCount } from '../datasets/draw-batches.js'
import { fingerprint } from '../datasets/fingerprint.js'
import { checkComputes } from '../device/device.js'
import { checkSplit, type Evaluation, firstImages } from '../evaluate/evaluate.js'
import { Trainer } from '../local/trainer.js'
import { type EpochSums, meansOf } from '../metrics/means.js'
import { isHandle } from '../native/handle.js'
import type { TrainEvent } from './events.js'
import {
  augmentationIn,
  type ResolvedTrainOptions,
  resolveTrainOptions,
  type TrainOptions,
} from './options.js'
import { NO_PACE, type Pace } from './pace.js'
import { learningRateAt } from './schedule.js'
import { CommonStop, checkShared, sumsOfAll } from './together.js'
import { isBetter, type TrackedMetric, trackedMetric } from './tracked-metric.js'
import {
  checkIdentity,
  type RunIdentity,
  restoreState,
  type TrainingProgress,
  type TrainingState,
} from './training-state.js'
/** A stretch of a run with its own rise and fall of the learning rate. */
export interface Phase {
  readonly activeModule: number | null
  /** Highest learning rate of the modules that run, from the first; null only passes features on. */
  readonly rates: readonly (number | null)[]
}

/** What is asked for, and how far it is. */
export interface Course {
  readonly trainer: Trainer
  readonly data: Dataset
  readonly options: ResolvedTrainOptions
  readonly split: ImageSplit
  readonly order: BatchOptions
  readonly phases: readonly Phase[]
  readonly stepsPerPhase: number
  /** Which modules were frozen when it began; a script may freeze others on its way. */
  readonly frozenAtFirst: readonly boolean[]
  readonly startedAt: number
  step: number
  epoch: number
  stepInEpoch: number
  stage: TrainingProgress['stage']
  phase: number
  epochSums: EpochSums
  /** Before `startedAt`. */
  secondsBefore: number
  peakAllocatedBytes: number
  /** Of several ranks: what this one kept behind its last step. */
  residentBytes: number
  pace: Pace
  evaluation: Evaluation | null
  readonly metric: TrackedMetric
  best: TrainingProgress['best']
  epochsSinceBest: number
  identity: RunIdentity | undefined
  /** Of several ranks: how they stop together. */
  readonly stop: CommonStop
}

export function planCourse(trainer: Trainer, data: Dataset, o: ResolvedTrainOptions): Course {
  if (!isHandle(trainer, Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a trainer', 'trainer', typeof trainer))
  }
  checkComputes(trainer.model.device, 'train')
  checkDataset(data)
  checkSplit(data.train)
  checkSplit(data.test)
  checkFits(trainer, data)
  checkShared(trainer, o)
  const metric = metricOf(trainer, o)
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
  augmentationOf(augmentationIn(o), Math.min(split.height, split.width))
  const stepsPerPhase = Math.min(o.maxSteps ?? Number.POSITIVE_INFINITY, perEpoch * o.epochs)
  return {
    ...{ trainer, data, options: o, split, order, stepsPerPhase },
    ...{ phases: phasesOf(trainer, o), frozenAtFirst: frozenIn(trainer) },
    ...{ step: 0, epoch: 0, stepInEpoch: 0, stage: 'begin', phase: 0, epochSums: [] },
    ...{ startedAt: performance.now(), secondsBefore: 0, peakAllocatedBytes: 0 },
    residentBytes: 0,
    pace: NO_PACE,
    ...{ evaluation: null, metric, best: null, epochsSinceBest: 0, identity: undefined },
    stop: new CommonStop(trainer, o.signal),
  }
}

/** Puts a run where `state` was taken. */
export async function resumeCourse(course: Course, state: TrainingState): Promise<void> {
  const { step, epoch, stepInEpoch, stage, phase, evaluation, best, frozen } = state.progress
  const { epochSums, epochsSinceBest, seconds, pace, peakAllocatedBytes } = state.progress
  await restoreState(course.trainer, state)
  for (const module of course.trainer.modules) {
    if (frozen[module.index]) module.freeze()
    else module.unfreeze()
  }
  Object.assign(course, {
    ...{ step, epoch, stepInEpoch, stage, phase, evaluation, best, epochsSinceBest },
    ...{ peakAllocatedBytes, epochSums, pace, secondsBefore: seconds },
  } satisfies Partial<Course>)
}

export async function checkpointEvent(
  course: Course,
  reason: 'epoch' | 'steps' | 'interrupted' | 'failed',
  isBest = false,
): Promise<TrainEvent> {
  // At an epoch's end they are.
  if (reason !== 'epoch') course.epochSums = await sumsOfAll(course.trainer, course.epochSums)
  await course.trainer.gather()
  const { step, epoch, stepInEpoch, stage, phase, evaluation, peakAllocatedBytes } = course
  const { best, epochsSinceBest, epochSums, pace } = course
  const progress: TrainingProgress = {
    ...{ step, epoch, stepInEpoch, stage, phase, evaluation, peakAllocatedBytes },
    ...{ best, epochsSinceBest, epochSums, pace },
    seconds: secondsOf(course),
    frozen: frozenIn(course.trainer),
    identity: await identityOf(course),
  }
  return { type: 'checkpoint', epoch, step, reason, isBest, progress }
}

/** What decides the numbers; worked out once, since it reads every image. */
export async function identityOf(course: Course): Promise<RunIdentity> {
  // What neither changes a weight nor which figures are given.
  const { signal: _, state: __, checkpointSteps: ___, patience: ____, ...training } = course.options
  course.identity ??= await identityOfParts({ ...course, training })
  return course.identity
}

export async function identityOfParts(parts: {
  readonly trainer: Trainer
  readonly data: Dataset
  readonly split: ImageSplit
  readonly frozenAtFirst: readonly boolean[]
  readonly training: RunIdentity['training'] & { readonly ema?: number | undefined }
}): Promise<RunIdentity> {
  const { trainer, data, split, frozenAtFirst, training } = parts
  // What initial weights and random numbers were drawn from is in the state itself.
  const { seed: _, ...model } = trainer.model.config
  const { seed: __, ...recipe } = trainer.recipe
  // Where weights and moments wait is no number's business.
  const modules = recipe.modules.map(({ offload: ___, ...settings }) => settings)
  return {
    model,
    trainer: {
      ...{ method: trainer.method, ...recipe, modules },
      averageDecay: training.ema ?? trainer.averageDecay,
      frozen: frozenAtFirst,
    },
    training,
    data: {
      ...{ name: data.name, classes: data.classes.length, mean: split.mean, std: split.std },
      ...{ trainImages: split.count, trainSha256: await fingerprint(split) },
      ...{ testImages: data.test.count, testSha256: await fingerprint(data.test) },
    },
  }
}

/**
 * @internal Whether a training goes on from a state.
 *
 * @throws {LocalformerError} `ERR_CONFIG` that names what differs.
 */
export async function checkResumes(
  trainer: Trainer,
  data: Dataset,
  options: TrainOptions,
  state: TrainingState,
): Promise<void> {
  const course = planCourse(trainer, data, resolveTrainOptions(options))
  checkIdentity(await identityOf(course), state.progress.identity)
}

/** Which modules only pass features on by now, from the first. */
export function frozenIn({ modules }: Trainer): readonly boolean[] {
  return modules.map((module) => module.frozen)
}

export function secondsOf({ startedAt, secondsBefore }: Course): number {
  return secondsBefore + (performance.now() - startedAt) / 1000
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

function metricOf({ modules }: Trainer, o: ResolvedTrainOptions): TrackedMetric {
  const metric = trackedMetric(o.best, modules.length)
  if (o.patience === undefined) return metric
  const refuse = (why: string, hint: string) => {
    throw new LocalformerError('ERR_CONFIG', `\`patience\` ${why}`, { hint })
  }
  if (o.schedule === 'sequential') {
    refuse('is for all modules together', 'Leave it out with `schedule` sequential.')
  }
  if (metric.isOfTest && o.testLimit === 0) {
    refuse(
      `waits for \`${metric.name}\`, which needs test images, and \`testLimit\` is 0`,
      'Look at some, or name a figure of training as `best`, e.g. module_1_label_loss.',
    )
  }
  return metric
}

/** Judges the epoch that is over: was it the best? */
export function judgeEpoch(course: Course, evaluation: Evaluation | null): boolean {
  const { metric, epoch } = course
  const value = metric.valueOf({ modules: meansOf(course.epochSums), evaluation })
  if (value === null) return false
  if (!isBetter(metric, value, course.best?.value ?? null)) {
    course.epochsSinceBest++
    return false
  }
  Object.assign(course, { best: { value, epoch }, epochsSinceBest: 0 })
  return true
}

/** Is the epoch whose evaluation comes the last one? That of a figure of the test images is known later. */
export function endsCourse(course: Course): boolean {
  const { step, phases, stepsPerPhase, metric, options, best, epochsSinceBest } = course
  if (step === phases.length * stepsPerPhase) return true
  if (options.patience === undefined || metric.isOfTest) return false
  const value = metric.valueOf({ modules: meansOf(course.epochSums), evaluation: null })
  return !isBetter(metric, value, best?.value ?? null) && epochsSinceBest + 1 >= options.patience
}

/** Did `patience` run out? */
export function isStopped({ options, epochsSinceBest }: Course): boolean {
  return options.patience !== undefined && epochsSinceBest >= options.patience
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

/** Learning rates in a phase's step, counted from 0. */
export function ratesAt(
  step: number,
  { rates }: Phase,
  { options, stepsPerPhase: totalSteps }: Course,
) {
  const warmupSteps = Math.round(options.warmup * totalSteps)
  return rates.map((rate) =>
    rate === null ? null : learningRateAt(step, { learningRate: rate, warmupSteps, totalSteps }),
  )
}

/** @internal How long a run is, and its highest learning rate when `step` steps are done. */
export function scheduleAt(
  trainer: Trainer,
  data: Dataset,
  options: TrainOptions,
  step: number,
): { readonly total: number; readonly rate: number } {
  const course = planCourse(trainer, data, resolveTrainOptions(options))
  const [phase] = course.phases
  const rates = phase === undefined ? [] : ratesAt(step, phase, course)
  return { total: course.stepsPerPhase, rate: Math.max(...rates.map((rate) => rate ?? 0)) }
}

// The training loop as an asynchronous generator of events: dataset -> batches -> steps -> events.
import type { z } from 'zod'
import { expected, LocalformerError } from '../base/errors.js'
import { median } from '../base/median.js'
import {
  boolean,
  integer,
  lazy,
  number,
  oneOf,
  parseOptions,
  positive,
  zod,
} from '../base/validate.js'
import { type Augmentation, augmentationOf, CROP_MODES, MOST_OPS } from '../batch/augmentation.js'
import { oneAhead } from '../batch/batch-ahead.js'
import type { PreparedBatch } from '../batch/prepared-batch.js'
import {
  type BatchOptions,
  batchCount,
  batchIndices,
  type Dataset,
  type ImageSplit,
} from '../datasets/dataset.js'
import { fingerprint } from '../datasets/fingerprint.js'
import { checkSplit, type Evaluation, evaluateHeads, firstImages } from '../evaluate/evaluate.js'
import type { ModuleStep, ModuleTrainer } from '../local/module-trainer.js'
import { type MemoryPoint, partsOf, Trainer } from '../local/trainer.js'
import { learningRateAt } from './schedule.js'
import {
  checkIdentity,
  type EpochSums,
  meansOf,
  type RunIdentity,
  restoreState,
  type TrainingProgress,
  type TrainingState,
} from './training-state.js'

export const SCHEDULES = ['together', 'sequential'] as const

export interface TrainOptions extends Omit<Augmentation, 'seed'> {
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
  /** Largest L2 norm of each module's gradients in a step, above 0; default: as they are. */
  readonly clipNorm?: number
  /**
   * Decay in [0, 1) of an exponential moving average of all weights, begun at the initial ones (see
   * {@link Trainer.keepAverage}). Evaluations during the run use it, and the trainer still keeps it
   * when the run is over: `trainer.applyAverage()` makes it the weights. For `sequential` a module
   * whose turn is over goes on with its averaged weights, so that the modules behind it learn from
   * the features that they will be evaluated with. Default: none.
   */
  readonly ema?: number
  /** Epochs from one evaluation to the next; the last epoch always has one. Default 1. */
  readonly evaluateEvery?: number
  /** Of the order of the images, crops and flips; default 0. */
  readonly seed?: number
  /** Random crop after padding so many pixels at each edge; default 4. */
  readonly cropPadding?: number
  /** Mirror half of the images; default true. */
  readonly flip?: boolean
  /** Stops after so many steps, for `sequential` of each module; default: with the epochs. */
  readonly maxSteps?: number
  /** Only the first so many training images; default: all. */
  readonly trainLimit?: number
  /** Only the first so many test images; default: all. 0: no evaluation. */
  readonly testLimit?: number
  /** Steps after which a `checkpoint` event is given inside of an epoch; default: none is. */
  readonly checkpointSteps?: number
  /**
   * Where an earlier run with the same options on the same images stood: it goes on from there bit
   * for bit. Undefined: from the beginning.
   */
  readonly state?: TrainingState | undefined
  /**
   * Stops between two steps with everything intact; the generator then gives a last `checkpoint`
   * event and throws its reason.
   */
  readonly signal?: AbortSignal
}

export interface ModuleProgress extends ModuleStep {
  /** Of the module's head on the batch; a mixed image counts as what it mostly is. */
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
      /** Of the step itself. */
      readonly seconds: number
      /** Of the step and of the wait for its batch, where that was not ready yet. */
      readonly imagesPerSecond: number
      /** What memory looks like over the step: of the second one of a run, of each module's turn. */
      readonly timeline?: readonly MemoryPoint[]
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
  /** The moment to keep the run: `captureState(trainer, event.progress)`. */
  | {
      readonly type: 'checkpoint'
      readonly epoch: number
      readonly step: number
      /** After an epoch, after `checkpointSteps`, or before the signal's reason is thrown. */
      readonly reason: 'epoch' | 'steps' | 'interrupted'
      /** Was the classifier's accuracy in this epoch's evaluation higher than in all before it? */
      readonly isBest: boolean
      readonly progress: TrainingProgress
    }
  | {
      readonly type: 'done'
      readonly steps: number
      readonly seconds: number
      /** Median over the steps that this call made; null where it made none. */
      readonly imagesPerSecond: number | null
      readonly peakAllocatedBytes: number
      readonly evaluation: Evaluation | null
    }

const schema = lazy(() =>
  zod().object({
    schedule: oneOf(SCHEDULES)
      .default('together')
      .describe('All modules in a step, or one after the other'),
    epochs: integer(1).default(1).describe('Passes over the training images'),
    batchSize: integer(1).default(128).describe('Images in a batch'),
    learningRate: zod()
      .union([number(0), zod().array(number(0))], {
        error: 'a number of at least 0, or a list of them, one a module,',
      })
      .default(1e-3)
      .describe('Highest one, or a list, one a module'),
    warmup: number(0, { max: 1 })
      .default(0.05)
      .describe('Share of the steps in which the learning rate rises'),
    clipNorm: positive().optional().describe("Largest norm of a module's gradients"),
    ema: number(0, { below: 1 }).optional().describe('Decay of an average of the weights'),
    evaluateEvery: integer(1).default(1).describe('Epochs from one evaluation to the next'),
    seed: integer(0).default(0).describe('Of the order of the images, crops and flips'),
    cropPadding: integer(0).default(4).describe('Pixels around a random crop; 0: no crop'),
    cropMode: oneOf(CROP_MODES).default('reflect').describe('Padding of the crop'),
    flip: boolean().default(true).describe('Mirror half of the images'),
    randAugmentOps: integer(0, MOST_OPS).default(0).describe('Operations of RandAugment'),
    randAugmentMagnitude: number(0, { max: 10 }).default(9).describe('RandAugment, 0 to 10'),
    erasing: number(0, { max: 1 }).default(0).describe('Share of images with an erased box'),
    mixup: number(0).default(0).describe('Alpha of mixup, 0: off'),
    cutmix: number(0).default(0).describe('Alpha of cutmix, 0: off'),
    mixProbability: number(0, { max: 1 }).default(1).describe('Share of images that are mixed'),
    maxSteps: integer(1).optional().describe('Steps after which to stop'),
    trainLimit: integer(1).optional().describe('Only the first so many training images'),
    testLimit: integer(0).optional().describe('Only the first so many test images; 0: none'),
    checkpointSteps: integer(1).optional().describe('Steps between checkpoints in an epoch'),
    state: zod()
      .custom<TrainingState>((value) => typeof value === 'object' && value !== null, {
        error: 'the state of a run',
      })
      .optional(),
    signal: zod().instanceof(AbortSignal, { error: 'an AbortSignal' }).optional(),
  }),
)

/** @internal Each option by its name, for the configuration and the command line. */
export const trainShape = () => schema().shape

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
  const { ema, state, signal } = run.options
  if (state !== undefined) checkIdentity(await identityOf(run), state.progress.identity)
  if (ema !== undefined) await trainer.keepAverage(ema)
  if (state !== undefined) await resume(run, state)
  try {
    yield* runPhases(run)
  } catch (error) {
    // Between two steps: everything is as the last one left it.
    if (signal?.aborted && error === signal.reason) yield await checkpoint(run, 'interrupted')
    throw error
  }
  const { step: steps, peakAllocatedBytes, evaluation } = run
  const [seconds, imagesPerSecond] = [secondsOf(run), medianSpeed(run)]
  yield { type: 'done', steps, seconds, imagesPerSecond, peakAllocatedBytes, evaluation }
}

/**
 * @internal What `train` refuses before its first step, for whoever makes room for a run.
 *
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function checkTraining(trainer: Trainer, data: Dataset, options: TrainOptions): void {
  planRun(trainer, data, resolveTrainOptions(options))
}

async function* runPhases(run: Run): AsyncGenerator<TrainEvent, void, undefined> {
  const { modules } = run.trainer
  for (const phase of run.phases.slice(run.phase)) {
    const { activeModule } = phase
    const isBegun = run.step > run.phase * run.stepsPerPhase || run.stage !== 'begin'
    if (activeModule !== null && !isBegun) {
      for (const module of modules) await module.releaseOptimizer()
    }
    yield* runPhase(run, phase)
    const finished = activeModule === null ? undefined : modules[activeModule]
    if (finished !== undefined) await endTurn(run, finished)
    run.phase++
  }
}

/**
 * Those behind a module learn from the features that they will be evaluated with: where an average is
 * kept, from those of its averaged weights. A run that goes on from here does this again.
 */
async function endTurn({ trainer, phase, phases }: Run, module: ModuleTrainer): Promise<void> {
  await module.releaseOptimizer()
  if (trainer.averageDecay === undefined || phase === phases.length - 1) return
  const prefixes = [...module.units, `auxiliary.${module.index}`].map((name) => `${name}.`)
  const own = Object.entries(await trainer.readAverage()).filter(([name]) =>
    prefixes.some((prefix) => name.startsWith(prefix)),
  )
  const [network, auxiliary] = partsOf(Object.fromEntries(own))
  await trainer.model.writeParameters(network)
  await trainer.writeAuxiliary(auxiliary)
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
  /** Which modules were frozen when it began; a script may freeze others on its way. */
  readonly frozenAtFirst: readonly boolean[]
  readonly startedAt: number
  step: number
  epoch: number
  stepInEpoch: number
  stage: TrainingProgress['stage']
  phase: number
  means: Means
  /** Before `startedAt`. */
  secondsBefore: number
  peakAllocatedBytes: number
  /** Images a second in each of the steps. */
  readonly speeds: number[]
  evaluation: Evaluation | null
  best: TrainingProgress['best']
  identity: RunIdentity | undefined
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
  augmentationOf(augmentationIn(o), Math.min(split.height, split.width))
  const stepsPerPhase = Math.min(o.maxSteps ?? Number.POSITIVE_INFINITY, perEpoch * o.epochs)
  return {
    ...{ trainer, data, options: o, split, order, stepsPerPhase },
    ...{ phases: phasesOf(trainer, o), frozenAtFirst: frozenIn(trainer) },
    ...{ step: 0, epoch: 0, stepInEpoch: 0, stage: 'begin', phase: 0, means: new Means() },
    ...{ startedAt: performance.now(), secondsBefore: 0, peakAllocatedBytes: 0 },
    speeds: [],
    ...{ evaluation: null, best: null, identity: undefined },
  }
}

/** Puts a run where `state` was taken. */
async function resume(run: Run, state: TrainingState): Promise<void> {
  const { identity: _, epochSums, seconds, frozen, ...place } = state.progress
  await restoreState(run.trainer, state)
  for (const module of run.trainer.modules) {
    if (frozen[module.index]) module.freeze()
    else module.unfreeze()
  }
  Object.assign(run, place, { means: new Means(epochSums), secondsBefore: seconds })
}

async function checkpoint(
  run: Run,
  reason: 'epoch' | 'steps' | 'interrupted',
  isBest = false,
): Promise<TrainEvent> {
  const { step, epoch, stepInEpoch, stage, phase, evaluation, best, peakAllocatedBytes } = run
  const progress: TrainingProgress = {
    ...{ step, epoch, stepInEpoch, stage, phase, evaluation, best, peakAllocatedBytes },
    epochSums: run.means.sums(),
    seconds: secondsOf(run),
    frozen: frozenIn(run.trainer),
    identity: await identityOf(run),
  }
  return { type: 'checkpoint', epoch, step, reason, isBest, progress }
}

/** What decides the numbers; worked out once, since it reads every image. */
async function identityOf(run: Run): Promise<RunIdentity> {
  const { trainer, data, split } = run
  // What neither changes a weight nor which figures are given.
  const { signal: _, state: __, checkpointSteps: ___, ...training } = run.options
  run.identity ??= {
    model: trainer.model.config,
    trainer: {
      ...{ method: trainer.method, ...trainer.recipe },
      averageDecay: training.ema ?? trainer.averageDecay,
      frozen: run.frozenAtFirst,
    },
    training,
    data: {
      ...{ name: data.name, classes: data.classes.length, mean: split.mean, std: split.std },
      ...{ trainImages: split.count, trainSha256: await fingerprint(split) },
      ...{ testImages: data.test.count, testSha256: await fingerprint(data.test) },
    },
  }
  return run.identity
}

function frozenIn({ modules }: Trainer): readonly boolean[] {
  return modules.map((module) => module.frozen)
}

function secondsOf({ startedAt, secondsBefore }: Run): number {
  return secondsBefore + (performance.now() - startedAt) / 1000
}

function medianSpeed({ speeds }: Run): number | null {
  return speeds.length === 0 ? null : median(speeds)
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
  const end = (run.phase + 1) * run.stepsPerPhase
  while (run.step < end || run.stage !== 'begin') {
    if (run.stage === 'begin') {
      Object.assign(run, { epoch: run.epoch + 1, stepInEpoch: 0, means: new Means() })
      run.stage = 'steps'
    }
    if (run.stage === 'steps') {
      yield* runEpoch(run, phase, end)
      run.stage = 'evaluation'
    }
    const evaluation = await evaluateRun(run)
    if (evaluation) yield { type: 'evaluation', epoch: run.epoch, ...evaluation }
    run.stage = 'begin'
    const isBest = evaluation !== null && evaluation.accuracy > (run.best?.accuracy ?? -1)
    if (isBest) run.best = { accuracy: evaluation.accuracy, epoch: run.epoch }
    yield await checkpoint(run, 'epoch', isBest)
  }
}

/** The evaluation behind an epoch; null where none is due. */
async function evaluateRun(run: Run): Promise<Evaluation | null> {
  const { options: o, trainer, data, phases, stepsPerPhase } = run
  const isLast = run.step === phases.length * stepsPerPhase
  if (o.testLimit === 0 || (run.epoch % o.evaluateEvery !== 0 && !isLast)) return null
  run.evaluation = await evaluateHeads(trainer, data.test, {
    ...(o.testLimit === undefined ? {} : { limit: o.testLimit }),
    ...(o.signal === undefined ? {} : { signal: o.signal }),
  })
  return run.evaluation
}

async function* runEpoch(
  run: Run,
  phase: Phase,
  end: number,
): AsyncGenerator<TrainEvent, void, undefined> {
  const { epoch, phases, options, means } = run
  const { activeModule } = phase
  const start = performance.now()
  let askedAt = start
  for await (const batch of oneAhead(preparations(run, end))) {
    using _ = batch
    const waited = (performance.now() - askedAt) / 1000
    options.signal?.throwIfAborted()
    const event = await runStep(run, phase, end, batch, waited)
    means.add(event.modules)
    run.stepInEpoch++
    yield event
    const isDue = options.checkpointSteps !== undefined && run.step % options.checkpointSteps === 0
    if (isDue) yield await checkpoint(run, 'steps')
    // What is done with an event is not the run's time.
    askedAt = performance.now()
  }
  const seconds = (performance.now() - start) / 1000
  const epochs = phases.length * options.epochs
  yield { type: 'epoch', epoch, epochs, activeModule, modules: means.take(), seconds }
}

/** How each batch of an epoch is prepared, from the run's step to its phase's end. */
function* preparations(run: Run, end: number) {
  const { trainer, split, order, epoch, options: o } = run
  const augmentation = augmentationIn(o)
  let { step } = run
  // Of a run that goes on in the middle of an epoch the first ones are done.
  let skipped = run.stepInEpoch
  for (const indices of batchIndices(split, { ...order, epoch })) {
    if (skipped-- > 0) continue
    if (step === end) return
    const augment = { ...augmentation, seed: batchSeed(o.seed, step++) }
    yield () => trainer.prepare({ split, indices, augment })
  }
}

/**
 * @internal One seed a batch, so that a step's augmentation does not depend on the steps before it.
 * Crops are drawn by PyTorch's generator, which takes only 32 bits of a seed: those above are mixed
 * into them by the golden ratio, or runs whose seeds agree modulo 256 would crop alike.
 */
export function batchSeed(seed: number, step: number): number {
  const plain = (seed % 2 ** 28) * 2 ** 24 + step
  const high = Math.floor(plain / 2 ** 32)
  return high * 2 ** 32 + ((plain ^ Math.imul(high, 0x9e3779b9)) >>> 0)
}

function augmentationIn(o: ResolvedTrainOptions): Augmentation {
  const { cropPadding, cropMode, flip, randAugmentOps, randAugmentMagnitude } = o
  const { erasing, mixup, cutmix, mixProbability } = o
  return {
    ...{ cropPadding, cropMode, flip, randAugmentOps, randAugmentMagnitude },
    ...{ erasing, mixup, cutmix, mixProbability },
  }
}

async function runStep(run: Run, phase: Phase, end: number, batch: PreparedBatch, waited: number) {
  const { stepsPerPhase, phases, options } = run
  const stepOfPhase = run.step - (end - stepsPerPhase)
  const rates = ratesAt(stepOfPhase, phase, run)
  const started = performance.now()
  const stepping = run.trainer.step(batch, {
    learningRate: rates,
    // The first step also fills caches.
    timeline: stepOfPhase === 1,
    ...(options.clipNorm === undefined ? {} : { clipNorm: options.clipNorm }),
  })
  // The step holds what it needs; with this reference gone it frees the bytes once they are floats.
  batch.dispose()
  const result = await stepping
  const seconds = (performance.now() - started) / 1000
  const { peakAllocatedBytes, peakReservedBytes } = result
  const imagesPerSecond = batch.count / (waited + seconds)
  run.step++
  run.speeds.push(imagesPerSecond)
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
      accuracy: module.correct / batch.count,
    })),
    ...{ peakAllocatedBytes, peakReservedBytes, seconds },
    imagesPerSecond,
    ...(result.timeline === undefined ? {} : { timeline: result.timeline }),
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
  #count: number
  #sums: EpochSums['sums']

  constructor({ count, sums }: EpochSums = { count: 0, sums: [] }) {
    this.#count = count
    this.#sums = sums
  }

  sums(): EpochSums {
    return { count: this.#count, sums: this.#sums }
  }

  add(modules: readonly ModuleProgress[]): void {
    this.#count++
    this.#sums = modules.map((module, k) => ({
      labelLoss: (this.#sums[k]?.labelLoss ?? 0) + module.labelLoss,
      reconstructionLoss: (this.#sums[k]?.reconstructionLoss ?? 0) + module.reconstructionLoss,
      accuracy: (this.#sums[k]?.accuracy ?? 0) + module.accuracy,
    }))
  }

  take(): EpochSums['sums'] {
    return meansOf(this.sums())
  }
}

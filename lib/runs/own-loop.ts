// A loop of a script's own, as a run sees it: what was recorded -> the events of a run, and how far it is.
import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys, entriesOf, readArgument } from '../base/validate.js'
import type { Dataset } from '../datasets/dataset.js'
import type { Evaluation } from '../evaluate/evaluate.js'
import type { Trainer, TrainStep } from '../local/trainer.js'
import { type EpochSums, meansOf, withStep } from '../metrics/means.js'
import { frozenIn, identityOfParts } from '../train/course.js'
import type { DoneEvent, MetricsEvent, TrainEvent } from '../train/events.js'
import { NO_PACE, type Pace, paceWith, throughputOf } from '../train/pace.js'
import type { RunIdentity, TrainingProgress } from '../train/training-state.js'
import type { RunSummary } from './run-summary.js'

/** What {@link Run.record} takes. */
export type Recorded =
  | {
      /** What `trainer.step` gave. */
      readonly step: TrainStep
      /** Images of its batch. */
      readonly images: number
      /** From 1; default: the one after the last that was ended. */
      readonly epoch?: number
      /** The highest of the modules'; default 1e-3, as a step's. */
      readonly learningRate?: number
    }
  /** The end of an epoch: its means are those of the steps since the last one. */
  | { readonly epoch: number; readonly epochs?: number }
  /** What `evaluate(trainer, ...)` gave. */
  | { readonly evaluation: Evaluation }
  /** Numbers by names of the script's own, `group/name`; for the loggers. */
  | { readonly metrics: Readonly<Record<string, number>> }

export interface SaveRunOptions {
  /** Also as `best`; default false. */
  readonly best?: boolean
  /** Counts as the end of an epoch for `checkpointEvery` and the report; default false. */
  readonly epochEnded?: boolean
}

export class OwnLoop {
  readonly #trainer: Trainer
  readonly #data: Dataset
  readonly #startedAt = performance.now()
  readonly #frozenAtFirst: readonly boolean[]
  #pace: Pace
  readonly #secondsBefore: number
  #identity: RunIdentity | undefined
  #epochSums: EpochSums
  #epochStartedAt = performance.now()
  #step: number
  #epoch: number
  #stepInEpoch: number
  #peak: number
  #evaluation: Evaluation | null
  #best: TrainingProgress['best']

  /** @param from Where the run goes on. */
  constructor(trainer: Trainer, data: Dataset, from: TrainingProgress | undefined) {
    this.#trainer = trainer
    this.#data = data
    this.#frozenAtFirst = frozenIn(trainer)
    this.#epochSums = from?.epochSums ?? []
    this.#pace = from?.pace ?? NO_PACE
    this.#secondsBefore = from?.seconds ?? 0
    this.#step = from?.step ?? 0
    this.#epoch = from?.epoch ?? 0
    this.#stepInEpoch = from?.stepInEpoch ?? 0
    this.#peak = from?.peakAllocatedBytes ?? 0
    this.#evaluation = from?.evaluation ?? null
    this.#best = from?.best ?? null
  }

  /** @throws {LocalformerError} `ERR_CONFIG` */
  record(what: Recorded): TrainEvent | MetricsEvent {
    return readArgument('what is recorded', () => {
      // It will be written: what JSON has no word for is told before anything is counted.
      JSON.stringify(what)
      return this.#record(what)
    })
  }

  #record(what: Recorded): TrainEvent | MetricsEvent {
    checkKeys(what, 'what is recorded', KEYS)
    if ('step' in what) return this.#recordStep(what)
    if ('evaluation' in what) return this.#recordEvaluation(what.evaluation)
    if ('metrics' in what) return this.#recordMetrics(what.metrics)
    if ('epoch' in what) return this.#endEpoch(what)
    const message = expected('a step, an epoch, an evaluation or metrics', 'what is recorded', what)
    throw new LocalformerError('ERR_CONFIG', message)
  }

  async checkpoint(options: SaveRunOptions): Promise<TrainEvent & { type: 'checkpoint' }> {
    checkKeys(options, 'options', ['best', 'epochEnded'])
    const { best: isBest = false, epochEnded = false } = readArgument('options', () => ({
      ...options,
    }))
    for (const [name, flag] of Object.entries({ best: isBest, epochEnded })) {
      if (typeof flag === 'boolean') continue
      throw new LocalformerError('ERR_CONFIG', expected('true or false', name, flag))
    }
    const value = this.#evaluation?.accuracy
    if (isBest) this.#best = value === undefined ? null : { value, epoch: this.#epoch }
    const progress: TrainingProgress = {
      ...{ step: this.#step, epoch: this.#epoch, stepInEpoch: this.#stepInEpoch },
      ...{ stage: 'begin', phase: 0, epochSums: this.#epochSums, pace: this.#pace },
      ...{ evaluation: this.#evaluation, best: this.#best, epochsSinceBest: 0 },
      ...{ seconds: this.#seconds(), peakAllocatedBytes: this.#peak },
      frozen: frozenIn(this.#trainer),
      identity: await this.identity(),
    }
    const { epoch, step } = progress
    const reason = epochEnded && epoch > 0 ? 'epoch' : 'steps'
    return { type: 'checkpoint', epoch, step, reason, isBest, progress }
  }

  /** What the numbers of the run depend on, as far as the package knows. */
  async identity(): Promise<RunIdentity> {
    this.#identity ??= await identityOfParts({
      ...{ trainer: this.#trainer, data: this.#data, split: this.#data.train },
      ...{ frozenAtFirst: this.#frozenAtFirst, training: {} },
    })
    return this.#identity
  }

  /** Of the epoch that was not ended. */
  means(): RunSummary['modules'] {
    return meansOf(this.#epochSums)
  }

  done(): DoneEvent {
    return {
      ...{ type: 'done', steps: this.#step, seconds: this.#seconds() },
      imagesPerSecond: throughputOf(this.#pace),
      ...{ peakAllocatedBytes: this.#peak, evaluation: this.#evaluation, stoppedEarly: false },
    }
  }

  #recordStep(what: Extract<Recorded, { step: TrainStep }>): TrainEvent {
    const { step: result, images, epoch = this.#epoch + 1, learningRate = 1e-3 } = what
    checkEpoch(epoch)
    if (!Number.isInteger(images) || images < 1) {
      throw new LocalformerError('ERR_CONFIG', expected('a number of images', 'images', images))
    }
    checkStep(result)
    checkFigure(learningRate, 'learningRate')
    this.#step++
    this.#stepInEpoch++
    this.#epochSums = withStep(this.#epochSums, result.modules)
    this.#peak = Math.max(this.#peak, result.peakAllocatedBytes)
    this.#pace = paceWith(this.#pace, { images, seconds: result.seconds })
    return {
      ...result,
      ...{ type: 'step', epoch, activeModule: null },
      ...{ step: this.#step, totalSteps: this.#step, learningRate },
      ...{ waitSeconds: null, imagesPerSecond: images / result.seconds },
    }
  }

  #endEpoch({ epoch, epochs }: Extract<Recorded, { epochs?: number }>): TrainEvent {
    checkEpoch(epoch)
    if (epochs !== undefined) checkEpoch(epochs, 'epochs')
    const modules = meansOf(this.#epochSums)
    const seconds = (performance.now() - this.#epochStartedAt) / 1000
    this.#epoch = epoch
    this.#stepInEpoch = 0
    this.#epochSums = []
    this.#epochStartedAt = performance.now()
    return { type: 'epoch', epoch, epochs: epochs ?? epoch, activeModule: null, modules, seconds }
  }

  #recordEvaluation(evaluation: Evaluation): TrainEvent {
    checkEvaluation(evaluation)
    const { count, accuracy, top5Accuracy, loss, modules } = evaluation
    this.#evaluation = { count, accuracy, top5Accuracy, loss, modules }
    return { type: 'evaluation', epoch: this.#epoch, ...this.#evaluation }
  }

  #recordMetrics(metrics: Readonly<Record<string, number>>): MetricsEvent {
    for (const [name, value] of Object.entries(metrics ?? {})) {
      if (typeof value === 'number') continue
      throw new LocalformerError('ERR_CONFIG', expected('a number', `metrics.${name}`, value))
    }
    return { type: 'metrics', step: this.#step, epoch: this.#epoch, metrics: { ...metrics } }
  }

  #seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#startedAt) / 1000
  }
}

function checkStep(step: TrainStep): void {
  const figures = ['peakAllocatedBytes', 'peakReservedBytes', 'seconds'] as const
  const isWhole =
    entriesOf(step?.modules)?.every((module) => typeof module === 'object' && module !== null) &&
    figures.every((name) => Number.isFinite(step[name]) && step[name] >= 0)
  if (isWhole && Number.isSafeInteger(step.peakAllocatedBytes)) return
  throw new LocalformerError('ERR_CONFIG', expected("what a trainer's step gave", 'step', step), {
    hint: 'Modules that are driven alone have no whole step: record figures of them as `metrics`.',
  })
}

function checkEvaluation(evaluation: Evaluation): void {
  const isScore = (score: unknown) => {
    const { accuracy, loss } = (score ?? {}) as Partial<Evaluation>
    return Number.isFinite(accuracy) && typeof loss === 'number'
  }
  const { count, modules } = evaluation ?? {}
  const isWhole = isScore(evaluation) && Number.isSafeInteger(count)
  if (isWhole && entriesOf(modules)?.every(isScore)) return
  const message = expected('what `evaluate` gave', 'evaluation', evaluation)
  throw new LocalformerError('ERR_CONFIG', message)
}

function checkEpoch(epoch: unknown, name = 'epoch'): void {
  if (Number.isSafeInteger(epoch) && (epoch as number) >= 1) return
  const message = expected('a whole number of at least 1', name, epoch)
  throw new LocalformerError('ERR_CONFIG', message)
}

function checkFigure(value: unknown, name: string): void {
  if (Number.isFinite(value) && (value as number) >= 0) return
  throw new LocalformerError('ERR_CONFIG', expected('a number of at least 0', name, value))
}

const KEYS = ['step', 'images', 'epoch', 'learningRate', 'epochs', 'evaluation', 'metrics']

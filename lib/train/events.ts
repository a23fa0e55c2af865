// What a training loop tells, in the order in which it happens.
import type { Evaluation } from '../evaluate/evaluate.js'
import type { ModuleStep } from '../local/module-trainer.js'
import type { MemoryPoint } from '../local/trainer.js'
import type { TrainingProgress } from './training-state.js'

export interface ModuleProgress extends ModuleStep {
  /** Of the module's head on the batch; a mixed image counts as what it mostly is. */
  readonly accuracy: number
}

/** The last event of a run that came to its end. */
export type DoneEvent = Extract<TrainEvent, { readonly type: 'done' }>

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
      /**
       * After an epoch, after `checkpointSteps`, before the signal's reason is thrown, or before
       * `ERR_NON_FINITE` and `ERR_OUT_OF_MEMORY` are: then modules before the one that failed have taken
       * the step that failed, and take it again when the run goes on.
       */
      readonly reason: 'epoch' | 'steps' | 'interrupted' | 'failed'
      /** Was the figure that `best` names better in this epoch than in all before it? */
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
      /** True where `patience` ended the run before its last epoch. */
      readonly stoppedEarly: boolean
    }

/** What a run tells of itself. */
export interface WarningEvent {
  readonly type: 'warning'
  readonly message: string
}

/** Figures that a script recorded, by names of its own. */
export interface MetricsEvent {
  readonly type: 'metrics'
  readonly step: number
  readonly epoch: number
  readonly metrics: Readonly<Record<string, number>>
}

/** What happens in a run with a folder. */
export type RunEvent = TrainEvent | WarningEvent | MetricsEvent

// What a training loop tells, in the order in which it happens.
import type { Evaluation } from '../evaluate/evaluate.js'
import type { ModuleStep } from '../local/module-trainer.js'
import type { MemoryPoint } from '../local/trainer.js'
import type { ModuleMeans } from '../metrics/module-metrics.js'
import type { StepFigures } from '../metrics/step-metrics.js'
import type { RankFigures } from './together.js'
import type { TrainingProgress } from './training-state.js'

/** The last event of a run that came to its end. */
export type DoneEvent = Extract<TrainEvent, { readonly type: 'done' }>

export type TrainEvent =
  | (StepFigures & {
      readonly type: 'step'
      /** From 1; for `sequential`, as everywhere, counted on over the modules. */
      readonly epoch: number
      /** Index of the module that is trained; null: all together. */
      readonly activeModule: number | null
      /** From 1. */
      readonly step: number
      readonly totalSteps: number
      /** Those that ran; one that passed features on has `learned: false`. */
      readonly modules: readonly ModuleStep[]
      /** What memory looks like over the step: of the second one of a run, of each module's turn. */
      readonly timeline?: readonly MemoryPoint[]
    })
  | {
      readonly type: 'epoch'
      readonly epoch: number
      readonly epochs: number
      readonly activeModule: number | null
      /** Over the epoch, of the modules that ran: means, of peaks the highest. */
      readonly modules: readonly ModuleMeans[]
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
      /** Images over time, of all steps with the waits for their batches; null where there was none. */
      readonly imagesPerSecond: number | null
      readonly peakAllocatedBytes: number
      readonly evaluation: Evaluation | null
      /** True where `patience` ended the run before its last epoch. */
      readonly stoppedEarly: boolean
      /** Where several trained it: what each rank took. */
      readonly ranks?: readonly RankFigures[]
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

// Events of training, made up.
import type { TrainEvent } from '../../lib/train/events.js'

export type StepEvent = TrainEvent & { type: 'step' }

function moduleProgress(k: number) {
  return {
    ...{ labelLoss: 2.25 - k, reconstructionLoss: k === 0 ? 0.5 : null, penalty: null, correct: 4 },
    ...{ gradientNorm: null, learned: true, accuracy: 0.125, seconds: 0.5 },
    ...{ peakAllocatedBytes: 1024 * (k + 1), allocatedBytesAfter: 512, featureBytes: 64 },
    modulesWithGradients: [k],
  }
}

/** Of two modules. */
export function stepEvent(changes: Partial<StepEvent>): StepEvent {
  return {
    ...{ type: 'step', epoch: 1, activeModule: null, step: 1, totalSteps: 10 },
    ...{ learningRate: 1e-3, modules: [moduleProgress(0), moduleProgress(1)] },
    ...{ peakAllocatedBytes: 2048, peakReservedBytes: 4096 },
    ...{ seconds: 1, waitSeconds: 0, imagesPerSecond: 32 },
    ...changes,
  } as StepEvent
}

export function evaluationEvent(): TrainEvent & { type: 'evaluation' } {
  return {
    ...{ type: 'evaluation', epoch: 1, count: 8, accuracy: 0.5, top5Accuracy: null, loss: 1.5 },
    modules: [
      { accuracy: 0.25, top5Accuracy: null, loss: 2 },
      { accuracy: 0.5, top5Accuracy: null, loss: 1.5 },
    ],
  }
}

// Events of a training run as lines for people.
import { EVALUATION_METRICS } from '../metrics/evaluation-metrics.js'
import { formatMetric } from '../metrics/metric.js'
import { MODULE_METRICS } from '../metrics/module-metrics.js'
import { STEP_METRICS } from '../metrics/step-metrics.js'
import type { RunEvent, TrainEvent } from '../train/events.js'
import { type GlobalOptions, note, printLine, warn } from './command.js'
import { said, wordsOf } from './metric-text.js'
import type { TrainingProgress } from './training-progress.js'

type EventOf<T extends TrainEvent['type']> = TrainEvent & { readonly type: T }

/** Tells an event: steps as progress, the others each as a line; with --json on standard error. */
export function tellEvent(
  options: GlobalOptions,
  event: RunEvent,
  progress: TrainingProgress,
): void {
  if (event.type === 'step') {
    progress.step(event)
    return
  }
  const text = textOf(event)
  if (text === undefined) return
  progress.finish()
  if (event.type === 'warning') warn(text)
  else if (options.json) note(options, text)
  else printLine(text)
}

function textOf(event: RunEvent): string | undefined {
  if (event.type === 'warning') return event.message
  if (event.type === 'epoch') return epochLine(event)
  if (event.type === 'evaluation') return evaluationLine(event)
  return event.type === 'done' ? doneLine(event) : undefined
}

/** `Epoch 2 of 10, 31 s: module 1 loss 2.250+0.500, acc 12.5 %; module 2 loss 1.250, acc 25.0 %` */
export function epochLine({ epoch, epochs, seconds, modules }: EventOf<'epoch'>): string {
  const learned = modules.flatMap((module, k) => {
    const words = wordsOf(MODULE_METRICS, module)
    return words === '' ? [] : [`module ${k + 1} ${words}`]
  })
  return `Epoch ${epoch} of ${epochs}, ${seconds.toFixed(0)} s: ${learned.join('; ')}`
}

export function evaluationLine(event: EventOf<'evaluation'>): string {
  const heads = event.modules.map(({ accuracy }) =>
    formatMetric(EVALUATION_METRICS.accuracy, accuracy),
  )
  return `Test ${wordsOf(EVALUATION_METRICS, event)}; heads: ${heads.join(', ')}`
}

function peaksOf(ranks: NonNullable<EventOf<'done'>['ranks']>): string {
  const { peakAllocatedBytes: metric } = STEP_METRICS
  return ranks.map((of) => formatMetric(metric, of.peakAllocatedBytes)).join(', ')
}

export function doneLine(event: EventOf<'done'>): string {
  const { steps, seconds, imagesPerSecond: speed, peakAllocatedBytes, stoppedEarly, ranks } = event
  return [
    `${steps} ${steps === 1 ? 'step' : 'steps'} in ${seconds.toFixed(0)} s`,
    ...(speed === null ? [] : [said(STEP_METRICS.imagesPerSecond, speed)]),
    said(STEP_METRICS.peakAllocatedBytes, peakAllocatedBytes),
    ...(ranks === undefined ? [] : [`of ranks ${peaksOf(ranks)}`]),
    ...(stoppedEarly ? ['stopped early: it did not get better'] : []),
  ].join(', ')
}

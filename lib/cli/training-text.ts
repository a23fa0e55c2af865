// Events of a training run as lines for people.

import { formatBytes, formatPercent } from '../base/format.js'
import type { RunEvent, TrainEvent } from '../train/events.js'
import { type GlobalOptions, note, printLine, warn } from './command.js'
import type { TrainingProgress } from './training-progress.js'

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

export function epochLine(event: TrainEvent & { type: 'epoch' }): string {
  const losses = trainedOf(event)
    .map(([k, module]) => `module ${k + 1} ${lossText(module)} (${formatPercent(module.accuracy)})`)
    .join(', ')
  return `Epoch ${event.epoch} of ${event.epochs}: train loss ${losses}, ${event.seconds.toFixed(0)} s`
}

export function evaluationLine(event: TrainEvent & { type: 'evaluation' }): string {
  const heads = event.modules.map(({ accuracy }) => formatPercent(accuracy)).join(', ')
  const accuracy = formatPercent(event.accuracy)
  return `Test accuracy ${accuracy} (heads: ${heads}), loss ${event.loss.toFixed(3)}`
}

export function doneLine(event: TrainEvent & { type: 'done' }): string {
  const { steps, seconds, imagesPerSecond: speed, peakAllocatedBytes, stoppedEarly } = event
  const throughput = speed === null ? '' : `, median ${speed.toFixed(0)} images/s`
  const peak = formatBytes(peakAllocatedBytes)
  const early = stoppedEarly ? ', stopped early: it did not get better' : ''
  return `${steps} ${steps === 1 ? 'step' : 'steps'} in ${seconds.toFixed(0)} s${throughput}, peak ${peak}${early}`
}

/** The modules that an event is about, with their index. */
function trainedOf<T>({
  activeModule,
  modules,
}: {
  readonly activeModule: number | null
  readonly modules: readonly T[]
}): [number, T][] {
  return [...modules.entries()].filter(([k]) => activeModule === null || k === activeModule)
}

function lossText({
  labelLoss,
  reconstructionLoss,
}: {
  labelLoss: number
  reconstructionLoss: number
}) {
  return reconstructionLoss === 0
    ? labelLoss.toFixed(3)
    : `${labelLoss.toFixed(3)}+${reconstructionLoss.toFixed(3)}`
}

// Progress of a training run on standard error: one live line on a terminal, as much of it as fits
// the width, redrawn when that changes; elsewhere (a log file, CI) a plain line every ten seconds;
// nothing with --quiet.

import { isContinuousIntegration, wantsColor } from '../base/environment.js'
import { MODULE_METRICS } from '../metrics/module-metrics.js'
import { STEP_METRICS } from '../metrics/step-metrics.js'
import type { TrainEvent } from '../train/events.js'
import { LOSSES, said } from './metric-text.js'
import { type Part, partsThatFit } from './status-line.js'

type StepEvent = TrainEvent & { readonly type: 'step' }

export interface TrainingProgressSettings {
  readonly quiet: boolean
  /** Default: standard error. */
  readonly stream?: TrainingStream | undefined
  /** Default: a terminal, outside of CI. */
  readonly live?: boolean | undefined
  /** Default: a terminal without NO_COLOR. */
  readonly color?: boolean | undefined
  /** Milliseconds that only grow. Default: `performance.now`. */
  readonly now?: (() => number) | undefined
}

export type TrainingStream = Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'> &
  Partial<Pick<NodeJS.WriteStream, 'on' | 'off'>>

export interface TrainingProgress {
  /** Shows a step; other events are not its business. */
  step(event: StepEvent): void
  /** Ends the current line, so that other text can be written. */
  finish(): void
}

const REDRAW_MS = 100
const PLAIN_MS = 10_000
const ERASE_LINE = '\r\u001b[2K'
const BARS = '▁▂▃▄▅▆▇█'
/** Losses that a module's sparkline is drawn of. */
const HISTORY = 64
/** Weight of a new loss in the mean that is shown, so that digits can be read. */
const SMOOTHING = 0.2

export function createTrainingProgress(settings: TrainingProgressSettings): TrainingProgress {
  if (settings.quiet) return { step() {}, finish() {} }
  const stream = settings.stream ?? process.stderr
  const now = settings.now ?? (() => performance.now())
  const live = settings.live ?? (stream.isTTY === true && !isContinuousIntegration())
  if (!live) return plainProgress(stream, now)
  return liveProgress(stream, now, settings.color ?? wantsColor(process.stderr))
}

function liveProgress(stream: TrainingStream, now: () => number, color: boolean): TrainingProgress {
  const history = new History(now)
  let last: StepEvent | undefined
  let drawnAt = Number.NEGATIVE_INFINITY
  const draw = () => {
    if (!last) return
    // One column stays free: a terminal may wrap when its last one is written.
    const width = (stream.columns || 80) - 1
    stream.write(`${ERASE_LINE}${partsThatFit(partsOf(last, history), width, color)}`)
    drawnAt = now()
  }
  return {
    step(event) {
      if (!last) stream.on?.('resize', draw)
      last = event
      history.add(event)
      if (now() - drawnAt >= REDRAW_MS) draw()
    },
    finish() {
      if (!last) return
      draw()
      stream.off?.('resize', draw)
      stream.write('\n')
      last = undefined
      drawnAt = Number.NEGATIVE_INFINITY
    },
  }
}

function plainProgress(stream: TrainingStream, now: () => number): TrainingProgress {
  const history = new History(now)
  let writtenAt = Number.NEGATIVE_INFINITY
  return {
    step(event) {
      history.add(event)
      const isLast = event.step === event.totalSteps
      if (now() - writtenAt < PLAIN_MS && !isLast) return
      const parts = partsOf(event, history).filter(({ isPicture }) => !isPicture)
      stream.write(`${partsThatFit(parts, Number.POSITIVE_INFINITY, false)}\n`)
      writtenAt = now()
    },
    finish() {},
  }
}

/** What the line shows beyond the last step. */
class History {
  readonly #now: () => number
  readonly #startedAt: number
  #firstStep: number | undefined
  /** Of each module, a mean that follows its loss, step by step. */
  #losses: number[][] = []
  #accuracy: number[] = []
  #speed: number | undefined

  constructor(now: () => number) {
    this.#now = now
    this.#startedAt = now()
  }

  add(event: StepEvent): void {
    this.#firstStep ??= event.step - 1
    event.modules.forEach((module, k) => {
      if (!module.learned) return
      this.#losses[k] ??= []
      const losses = this.#losses[k]
      const loss = LOSSES.reduce((sum, name) => sum + (module[name] ?? 0), 0)
      losses.push(follow(losses.at(-1), loss))
      if (losses.length > HISTORY) losses.shift()
      this.#accuracy[k] = follow(this.#accuracy[k], module.accuracy)
    })
    this.#speed = follow(this.#speed, event.imagesPerSecond)
  }

  lossesOf(module: number): readonly number[] {
    return this.#losses[module] ?? []
  }

  accuracyOf(module: number): number | undefined {
    return this.#accuracy[module]
  }

  get speed(): number {
    return this.#speed ?? 0
  }

  /** Seconds to the end at the pace of this process, evaluations included. */
  secondsLeft({ step, totalSteps }: StepEvent): number {
    const done = step - (this.#firstStep ?? 0)
    return ((this.#now() - this.#startedAt) / 1000 / done) * (totalSteps - step)
  }
}

function follow(mean: number | undefined, value: number): number {
  return mean === undefined || !Number.isFinite(mean) ? value : mean + SMOOTHING * (value - mean)
}

/** From left to right; the one of the highest rank goes first where there is no room. */
function partsOf(event: StepEvent, history: History): Part[] {
  const { epoch, step, totalSteps, learningRate, peakAllocatedBytes, activeModule } = event
  const shown = [...event.modules.entries()].flatMap(([k, { learned }]) => (learned ? [k] : []))
  const accuracy = history.accuracyOf(shown.at(-1) ?? -1)
  const losses = shown.map((k) => (history.lossesOf(k).at(-1) ?? Number.NaN).toFixed(2))
  const sparklines = (width: number) =>
    shown.map((k) => sparkline(history.lossesOf(k), width)).join(' ')
  const where =
    activeModule === null ? `epoch ${epoch}` : `epoch ${epoch} module ${activeModule + 1}`
  return [
    { text: where, rank: 3, isStrong: true },
    { text: `step ${step}/${totalSteps}`, rank: 1 },
    { text: `${Math.floor((step / totalSteps) * 100)} %`, rank: 0, isStrong: true },
    { text: `loss ${losses.join(' ')}`, rank: 2 },
    {
      text: sparklines(8),
      shorter: [sparklines(5), sparklines(3)],
      rank: 8,
      isPicture: true,
    },
    ...(accuracy === undefined ? [] : [{ text: said(MODULE_METRICS.accuracy, accuracy), rank: 4 }]),
    { text: said(STEP_METRICS.imagesPerSecond, history.speed), rank: 6 },
    { text: said(STEP_METRICS.learningRate, learningRate), rank: 9 },
    { text: said(STEP_METRICS.peakAllocatedBytes, peakAllocatedBytes), rank: 7 },
    { text: `ETA ${clock(history.secondsLeft(event))}`, rank: 5 },
  ]
}

/** The losses so far as bars, the lowest as the shortest; each bar a stretch of them. */
export function sparkline(values: readonly number[], width: number): string {
  const finite = values.filter(Number.isFinite)
  const count = Math.min(width, finite.length)
  const means = Array.from({ length: count }, (_, i) => {
    const part = finite.slice(
      Math.floor((i * finite.length) / count),
      Math.floor(((i + 1) * finite.length) / count),
    )
    return part.reduce((a, b) => a + b, 0) / part.length
  })
  const [low, high] = [Math.min(...means), Math.max(...means)]
  const bars = means.map((mean) => {
    const share = high > low ? (mean - low) / (high - low) : 0
    return BARS[Math.round(share * (BARS.length - 1))]
  })
  // The same width from the first step on, so that the line does not move.
  return bars.join('').padStart(width)
}

/** `0:07`, `12:31`, `3:05:00`. */
function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const two = (value: number) => String(value).padStart(2, '0')
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  const rest = `${two(whole % 60)}`
  return hours > 0 ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`
}

// Progress of anything that takes long, on standard error: one live line on a terminal, a plain
// line every ten per cent elsewhere (a log file, CI), nothing with --quiet.
import { isContinuousIntegration, wantsColor } from '../base/environment.js'
import { formatBytes } from '../base/format.js'
import { safeLine } from '../base/terminal.js'
import type { InstallProgress } from '../libtorch/install-options.js'
import type { GlobalOptions } from './command.js'

export interface ProgressUpdate {
  /** What is done, e.g. `Downloading torch 2.11.0`. Another label begins a new line. */
  readonly label: string
  readonly done: number
  /** Undefined or 0 while unknown. */
  readonly total?: number | undefined
  /** `bytes` are shown as MiB and GiB; anything else is put behind the numbers, e.g. `steps`. */
  readonly unit: string
  /** What else there is to say now, put at the end. */
  readonly detail?: string | undefined
}

export interface ProgressSettings {
  readonly quiet: boolean
  /** Default: standard error. */
  readonly stream?: Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'> | undefined
  /** Default: a terminal, outside of CI. */
  readonly live?: boolean | undefined
  /** Default: a terminal without NO_COLOR. */
  readonly color?: boolean | undefined
  /** Milliseconds that only grow. Default: `performance.now`. */
  readonly now?: (() => number) | undefined
}

export interface Progress {
  update(update: ProgressUpdate): void
  /** Ends the current line, so that other text can be written. */
  finish(): void
}

const REDRAW_MS = 100
const PLAIN_STEP = 0.1
/** A step that comes sooner is left out, except for the first and the last one. */
const PLAIN_MIN_MS = 500
/** Without a total there are no per cents: a plain line every half minute. */
const PLAIN_MS = 30_000
const ERASE_LINE = '\r\u001b[2K'
const DIM = '\u001b[2m'
const RESET = '\u001b[0m'

/** The progress of a command, by its global options. */
export function commandProgress(options: GlobalOptions): Progress {
  return createProgress({ quiet: options.quiet })
}

const INSTALL_PHASES: Readonly<Record<InstallProgress['phase'], string>> = {
  download: 'Downloading',
  verify: 'Verifying',
  extract: 'Unpacking',
}

/** How an install of LibTorch is shown. */
export function installUpdate(step: InstallProgress): ProgressUpdate {
  const { phase, item, doneBytes: done, totalBytes: total } = step
  return { label: `${INSTALL_PHASES[phase]} ${item}`, done, total, unit: 'bytes' }
}

export function createProgress(settings: ProgressSettings): Progress {
  const stream = settings.stream ?? process.stderr
  if (settings.quiet) return { update() {}, finish() {} }
  const now = settings.now ?? (() => performance.now())
  const live = settings.live ?? (stream.isTTY === true && !isContinuousIntegration())
  if (!live) return plainProgress(stream, now)
  return liveProgress(stream, now, settings.color ?? wantsColor(process.stderr))
}

type Stream = NonNullable<ProgressSettings['stream']>

function liveProgress(stream: Stream, now: () => number, color: boolean): Progress {
  let last: ProgressUpdate | undefined
  let startedAt = 0
  let drawnAt = Number.NEGATIVE_INFINITY
  const draw = (update: ProgressUpdate) => {
    const text = describeUpdate(update, (now() - startedAt) / 1000)
    const label = safeLine(update.label)
    const line = `${label}  ${text}`.slice(0, (stream.columns ?? 80) - 1)
    const shown = color
      ? `${line.slice(0, label.length)}${DIM}${line.slice(label.length)}${RESET}`
      : line
    stream.write(`${ERASE_LINE}${shown}`)
    drawnAt = now()
  }
  const finish = () => {
    if (!last) return
    draw(last)
    stream.write('\n')
    last = undefined
    drawnAt = Number.NEGATIVE_INFINITY
  }
  return {
    update(update) {
      if (last && last.label !== update.label) finish()
      if (!last) startedAt = now()
      last = update
      if (now() - drawnAt >= REDRAW_MS) draw(update)
    },
    finish,
  }
}

function plainProgress(stream: Stream, now: () => number): Progress {
  let label: string | undefined
  let startedAt = 0
  let nextShare = 0
  let writtenAt = 0
  return {
    update(update) {
      if (update.label !== label) {
        label = update.label
        startedAt = now()
        nextShare = 0
        writtenAt = Number.NEGATIVE_INFINITY
      }
      const share = shareOf(update)
      const waited = now() - writtenAt
      const isDue =
        share === undefined
          ? waited >= PLAIN_MS
          : share >= nextShare && (share >= 1 || waited >= PLAIN_MIN_MS)
      if (!isDue) return
      stream.write(
        `${safeLine(update.label)}  ${describeUpdate(update, (now() - startedAt) / 1000)}\n`,
      )
      writtenAt = now()
      if (share !== undefined) nextShare = nextStep(share)
    },
    finish() {
      label = undefined
    },
  }
}

// Past 100 % nothing is due, so that a repeated last update writes no second line.
function nextStep(share: number): number {
  if (share >= 1) return Number.POSITIVE_INFINITY
  return Math.min(1, (Math.floor(share / PLAIN_STEP + 1e-9) + 1) * PLAIN_STEP)
}

function shareOf({ done, total }: ProgressUpdate): number | undefined {
  return total ? Math.min(1, done / total) : undefined
}

function describeUpdate(update: ProgressUpdate, seconds: number): string {
  const { done, total, unit } = update
  const isBytes = unit === 'bytes'
  const show = isBytes ? formatBytes : String
  const suffix = isBytes ? '' : ` ${unit}`
  const share = shareOf(update)
  const amount = total ? `${show(done)} of ${show(total)}${suffix}` : `${show(done)}${suffix}`
  const percent = share === undefined ? '' : `${Math.floor(share * 100)} %  `
  // Below half a second a rate is noise.
  const rate = isBytes && seconds >= 0.5 ? `  ${formatBytes(done / seconds)}/s` : ''
  const detail = update.detail === undefined ? '' : `  ${safeLine(update.detail)}`
  return `${percent}${amount}${rate}${detail}`
}

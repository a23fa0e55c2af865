// Memory within one step: live bytes over time, filled by phase, with a line where a module ends.
import { formatBytes } from '../base/format.js'
import { PHASES } from '../local/words.js'
import {
  axes,
  figure,
  legend,
  PLOT_HEIGHT,
  PLOT_WIDTH,
  type Placement,
  placement,
  tip,
} from './chart.js'
import { escapeHtml, table } from './html.js'
import type { Timeline, TimelinePoint } from './run-data.js'
import { formatNumber, type Scale, scaleOf, tightScale } from './scale.js'

const SLICES = 48

/** The timelines side by side, on the same axes. */
export function memoryCharts(timelines: readonly Timeline[]): string {
  const all = timelines.flatMap(({ points }) => points)
  if (all.length === 0) return ''
  const y = scaleOf(
    all.map(({ allocatedBytes }) => allocatedBytes),
    {
      zero: true,
      unit: unitOf(Math.max(...all.map(({ allocatedBytes }) => allocatedBytes))),
    },
  )
  const longest = Math.max(...all.map(({ seconds }) => seconds))
  const inSeconds = longest >= 1
  const x = tightScale(0, inSeconds ? longest : longest * 1000, 5, false)
  const charts = timelines.map((timeline) => memoryChart(timeline, x, y, inSeconds))
  return `<div class="pair">${charts.join('\n')}</div>`
}

function memoryChart(timeline: Timeline, x: Scale, y: Scale, inSeconds: boolean): string {
  const scaled = timeline.points.map((point) => ({
    ...point,
    phase: PHASES.find((phase) => phase === point.phase) ?? 'forward',
    seconds: inSeconds ? point.seconds : point.seconds * 1000,
  }))
  const unit = inSeconds ? 's' : 'ms'
  const place = placement(x, y)
  const runs = phaseRuns(scaled)
  const peak = scaled.reduce((a, b) => (b.allocatedBytes > a.allocatedBytes ? b : a))
  const title = `${timeline.spec}: peak ${formatBytes(peak.allocatedBytes)} in the ${peak.phase} phase of module ${peak.module + 1}`
  const areas = runs.map((run, i) => areaOf(run, runs[i + 1]?.[0], place)).join('\n')
  const top = place.y(peak.allocatedBytes)
  const svg = `<svg class="chart" role="img" aria-label="${escapeHtml(`Memory within a step of ${title}. x: time in ${unit}, y: allocated bytes.`)}" width="100%" height="${PLOT_HEIGHT}">
${axes(x, y, `time within the step, ${unit}`, formatBytes, (value) => formatNumber(value, 4))}
<svg viewBox="0 0 ${PLOT_WIDTH} ${PLOT_HEIGHT}" preserveAspectRatio="none" width="100%" height="${PLOT_HEIGHT}">
${areas}
</svg>
<line class="peak" x1="0" x2="100%" y1="${top}" y2="${top}"/>
${boundaries(scaled, place)}
${slices(scaled, place, unit)}
</svg>`
  return figure({
    title,
    yLabel: 'live tensors, bytes (KiB, MiB and GiB of 1,024)',
    legend: legend(PHASES.map((phase) => ({ name: phase, color: `p-${phase}` }))),
    svg,
    table: phaseTable(title, runs, unit),
  })
}

/** A whole number of mebibytes or gibibytes between ticks reads better. */
function unitOf(bytes: number): number {
  return 1024 ** Math.max(0, Math.floor(Math.log(bytes) / Math.log(1024)))
}

/** Neighbours of one module and phase. */
function phaseRuns(points: readonly TimelinePoint[]): TimelinePoint[][] {
  const runs: TimelinePoint[][] = []
  for (const point of points) {
    const run = runs[runs.length - 1]
    const before = run?.[0]
    if (run && before?.module === point.module && before.phase === point.phase) run.push(point)
    else runs.push([point])
  }
  return runs
}

/** From a point on its bytes hold until the next one: stairs. */
function areaOf(
  run: readonly TimelinePoint[],
  next: TimelinePoint | undefined,
  place: Placement,
): string {
  const first = run[0] as TimelinePoint
  const end = place.x(next?.seconds ?? (run[run.length - 1] as TimelinePoint).seconds)
  const stairs = run
    .slice(1)
    .map(({ seconds, allocatedBytes }) => `H${place.x(seconds)}V${place.y(allocatedBytes)}`)
    .join('')
  return `<path class="area p-${first.phase}" d="M${place.x(first.seconds)} ${PLOT_HEIGHT}V${place.y(first.allocatedBytes)}${stairs}H${end}V${PLOT_HEIGHT}Z"/>`
}

function boundaries(points: readonly TimelinePoint[], place: Placement): string {
  const starts = points.filter((point, i) => point.module !== points[i - 1]?.module)
  if (starts.length < 2) return ''
  const end = points[points.length - 1]?.seconds ?? 0
  return starts
    .map((point, i) => {
      const begin = place.percent(point.seconds)
      const middle = (begin + place.percent(starts[i + 1]?.seconds ?? end)) / 2
      const line =
        i === 0
          ? ''
          : `<line class="boundary" x1="${begin}%" x2="${begin}%" y1="0" y2="${PLOT_HEIGHT}"/>`
      const label =
        starts.length > 12
          ? ''
          : `<text class="tick" x="${middle.toFixed(1)}%" y="-5" text-anchor="middle">${point.module + 1}</text>`
      return `${line}${label}`
    })
    .join('')
}

function slices(points: readonly TimelinePoint[], place: Placement, unit: string): string {
  const end = points[points.length - 1]?.seconds ?? 0
  const width = end / SLICES
  return Array.from({ length: SLICES }, (_, i) => {
    const [begin, stop] = [i * width, (i + 1) * width]
    const inside = points.filter(({ seconds }) => seconds >= begin && seconds < stop)
    const before = points.filter(({ seconds }) => seconds <= begin)
    const shown = [...before.slice(-1), ...inside]
    const highest = shown.reduce<TimelinePoint | undefined>(
      (a, b) => (a && a.allocatedBytes >= b.allocatedBytes ? a : b),
      undefined,
    )
    if (highest === undefined) return ''
    const at = Math.min(stop, Math.max(begin, highest.seconds))
    return tip(
      { begin, end: stop, at },
      place,
      `${formatNumber(at)} ${unit}, module ${highest.module + 1}`,
      [
        {
          name: highest.phase,
          color: `p-${highest.phase}`,
          text: formatBytes(highest.allocatedBytes),
        },
      ],
    )
  }).join('\n')
}

function phaseTable(
  title: string,
  runs: readonly (readonly TimelinePoint[])[],
  unit: string,
): string {
  const rows = runs.slice(0, 400).map((run) => {
    const first = run[0] as TimelinePoint
    const bytes = run.map(({ allocatedBytes }) => allocatedBytes)
    return [
      `module ${first.module + 1}, ${first.phase}`,
      `${formatNumber(first.seconds)} ${unit}`,
      formatBytes(Math.max(...bytes)),
      formatBytes(bytes[bytes.length - 1] ?? 0),
    ]
  })
  return table(title, ['what', 'begins at', 'highest', 'at its end'], rows)
}

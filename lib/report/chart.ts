// A line chart as inline SVG without a script. Its plot stretches with the page while text and line
// widths keep their size: the outer picture has no viewBox and places things in per cent.
import { details, escapeHtml, table } from './html.js'
import { formatNumber, type Scale, scaleOf, tightScale } from './scale.js'
import { type Bucket, joined } from './series.js'

export interface ChartSeries {
  readonly name: string
  readonly buckets: readonly Bucket[]
  /** Place in the palette; default: that in the list. */
  readonly color?: number
}

export interface ChartOptions {
  readonly title: string
  /** What x counts, e.g. `step`. */
  readonly xLabel: string
  /** What y is, with its unit, e.g. `images per second`. */
  readonly yLabel: string
  readonly series: readonly ChartSeries[]
  readonly format?: (value: number) => string
  /** Does the y axis begin at 0? */
  readonly zero?: boolean
  /** Points are marked: there are few of them. */
  readonly marks?: boolean
}

export const PLOT_HEIGHT = 220
/** Width in the units of the stretched drawing. */
export const PLOT_WIDTH = 1000
export const COLORS = 8
const SLICES = 40
const TABLE_ROWS = 40

/** '' where there is nothing to draw. */
export function lineChart(options: ChartOptions): string {
  const { title, xLabel, yLabel, format = formatNumber, marks = false } = options
  const series = options.series.filter(({ buckets }) => buckets.length > 0)
  if (series.length === 0) return ''
  const all = series.flatMap(({ buckets }) => buckets)
  const y = scaleOf(
    all.flatMap(({ min, max }) => [min, max]),
    { zero: options.zero ?? false },
  )
  const x = tightScale(
    all.reduce((least, { from }) => Math.min(least, from), Number.POSITIVE_INFINITY),
    all.reduce((most, { to }) => Math.max(most, to), Number.NEGATIVE_INFINITY),
    5,
    true,
  )
  const place = placement(x, y)
  const colored = series.map((one, k) => ({ ...one, color: (one.color ?? k) % COLORS }))
  const drawing = colored.map((one) => drawSeries(one, place)).join('\n')
  const dots =
    marks || all.length <= 3 * series.length
      ? colored.map((one) => drawMarks(one, place)).join('')
      : ''
  const rows = sliceRows(colored, Math.min(SLICES, longest(series)))
  const label = `${title}: ${series.map(({ name }) => name).join(', ')}. x: ${xLabel}, y: ${yLabel}.`
  const svg = `<svg class="chart" role="img" aria-label="${escapeHtml(label)}" width="100%" height="${PLOT_HEIGHT}">
${axes(x, y, xLabel, format)}
<svg viewBox="0 0 ${PLOT_WIDTH} ${PLOT_HEIGHT}" preserveAspectRatio="none" width="100%" height="${PLOT_HEIGHT}">
${drawing}
</svg>
${dots}
${rows
  .map((row) =>
    tip(
      row,
      place,
      `${xLabel} ${rangeText(row)}`,
      row.values.map((v) => ({ name: v.name, color: `s${v.color}`, text: format(v.mean) })),
    ),
  )
  .join('\n')}
</svg>`
  return figure({
    title,
    yLabel,
    legend: legend(colored),
    svg,
    table: dataTable(title, xLabel, colored, format),
  })
}

export interface Placement {
  /** Per cent of the width. */
  readonly percent: (value: number) => number
  /** Units of the stretched drawing. */
  readonly x: (value: number) => number
  /** Pixels from the top. */
  readonly y: (value: number) => number
}

export function placement(x: Scale, y: Scale): Placement {
  const share = (value: number) => (value - x.min) / (x.max - x.min)
  return {
    percent: (value) => round(share(value) * 100),
    x: (value) => round(share(value) * PLOT_WIDTH),
    y: (value) => round(PLOT_HEIGHT - ((value - y.min) / (y.max - y.min)) * PLOT_HEIGHT),
  }
}

/** Grid, ticks and the name of the x axis. */
export function axes(
  x: Scale,
  y: Scale,
  xLabel: string,
  format: (value: number) => string,
  xFormat: (value: number) => string = (value) => formatNumber(value, 7),
): string {
  const place = placement(x, y)
  const across = y.ticks.map((tick) => {
    const at = place.y(tick)
    return `<line class="grid" x1="0" x2="100%" y1="${at}" y2="${at}"/><text class="tick" x="-8" y="${at}" dy=".32em" text-anchor="end">${escapeHtml(format(tick))}</text>`
  })
  const along = x.ticks.map((tick, i) => {
    const at = place.percent(tick)
    const anchor = at > 96 ? 'end' : at < 4 ? 'start' : 'middle'
    const optional = i % 2 === 1 && x.ticks.length > 4 ? ' wide' : ''
    return `<line class="grid" x1="${at}%" x2="${at}%" y1="${PLOT_HEIGHT}" y2="${PLOT_HEIGHT + 4}"/><text class="tick${optional}" x="${at}%" y="${PLOT_HEIGHT + 18}" text-anchor="${anchor}">${escapeHtml(xFormat(tick))}</text>`
  })
  return `${across.join('')}\n${along.join('')}<text class="axis" x="50%" y="${PLOT_HEIGHT + 36}" text-anchor="middle">${escapeHtml(xLabel)}</text>`
}

/** A chart with its title, legend and the table of its values. */
export function figure(parts: {
  readonly title: string
  readonly yLabel: string
  readonly legend: string
  readonly svg: string
  readonly table: string
}): string {
  return `<figure><figcaption>${escapeHtml(parts.title)}</figcaption>
${parts.legend}<p class="axis">${escapeHtml(parts.yLabel)}</p>
<div class="plot">${parts.svg}</div>
${details('Values as a table', parts.table)}</figure>`
}

interface TipLine {
  readonly name: string
  /** Class of its colour. */
  readonly color: string
  readonly text: string
}

/** What stands at a place: shown while the pointer is over its slice. */
export function tip(
  slice: { readonly begin: number; readonly end: number; readonly at: number },
  place: Placement,
  title: string,
  lines: readonly TipLine[],
): string {
  const [begin, at] = [place.percent(slice.begin), place.percent(slice.at)]
  const slid = `x="${begin}%" y="0" width="${round(Math.max(0.2, place.percent(slice.end) - begin))}%"`
  const shown = lines.map((line) => ({ ...line, name: clip(line.name) }))
  const longest = Math.max(...shown.map(({ name, text }) => name.length + text.length + 1))
  const width = round(28 + Math.max(7.4 * title.length - 12, 6.8 * longest))
  // At the left edge it begins at the line, at the right one it ends there: it never sticks out.
  const left = round((-width * at) / 100)
  const body = shown.map(({ name, color, text }, i) => {
    const y = 35 + 16 * i
    return (
      `<circle class="${color}" cx="${left + 12}" cy="${y - 4}" r="4"/>` +
      `<text x="${left + 21}" y="${y}">${escapeHtml(name)}</text>` +
      `<text x="${left + width - 8}" y="${y}" text-anchor="end">${escapeHtml(text)}</text>`
    )
  })
  return (
    `<g class="slice"><rect class="catch" ${slid} height="${PLOT_HEIGHT}"/>` +
    `<svg x="${at}%" class="tip"><line y2="${PLOT_HEIGHT}"/>` +
    `<rect x="${left}" y="2" rx="6" width="${width}" height="${24 + 16 * lines.length}"/>` +
    `<text x="${left + 8}" y="18" class="strong">${escapeHtml(title)}</text>${body.join('')}</svg></g>`
  )
}

const TIP_CHARACTERS = 24

function clip(name: string): string {
  return name.length <= TIP_CHARACTERS ? name : `${name.slice(0, TIP_CHARACTERS - 1)}…`
}

function drawSeries({ buckets, color }: ChartSeries & { color: number }, place: Placement): string {
  const middle = ({ from, to }: Bucket) => place.x((from + to) / 2)
  const band = buckets.some(({ min, max }) => min < max)
    ? `<path class="band s${color}" d="${polygon(
        buckets.map((b) => [middle(b), place.y(b.max)]),
        buckets.map((b) => [middle(b), place.y(b.min)]),
      )}"/>`
    : ''
  const line = buckets
    .map((b, i) => `${i === 0 ? 'M' : 'L'}${middle(b)} ${place.y(b.mean)}`)
    .join('')
  return `${band}<path class="line s${color}" vector-effect="non-scaling-stroke" d="${line}"/>`
}

function drawMarks({ buckets, color }: ChartSeries & { color: number }, place: Placement): string {
  return buckets
    .map(
      (b) =>
        `<circle class="mark s${color}" cx="${place.percent((b.from + b.to) / 2)}%" cy="${place.y(b.mean)}" r="3"/>`,
    )
    .join('')
}

function polygon(
  upper: readonly (readonly [number, number])[],
  lower: readonly (readonly [number, number])[],
): string {
  const points = [...upper, ...[...lower].reverse()]
  return `M${points.map(([x, y]) => `${x} ${y}`).join('L')}Z`
}

export function legend(
  items: readonly { readonly name: string; readonly color: number | string }[],
): string {
  if (items.length < 2) return ''
  const entries = items.map(
    ({ name, color }) =>
      `<li><svg class="key" width="14" height="10" aria-hidden="true"><rect class="${typeof color === 'number' ? `s${color}` : color}" width="14" height="10" rx="2"/></svg>${escapeHtml(name)}</li>`,
  )
  return `<ul class="legend">${entries.join('')}</ul>\n`
}

interface Row {
  readonly begin: number
  readonly end: number
  readonly at: number
  readonly values: readonly {
    readonly name: string
    readonly color: number
    readonly mean: number
  }[]
}

/** The chart cut into slices along x, each with what the series are there. */
function sliceRows(series: readonly (ChartSeries & { color: number })[], count: number): Row[] {
  const all = series.flatMap(({ buckets }) => buckets)
  const first = Math.min(...all.map(({ from }) => from))
  const last = Math.max(...all.map(({ to }) => to))
  const width = (last - first) / Math.max(1, count - 1)
  return Array.from({ length: count }, (_, i) => {
    const at = first + i * width
    const values = series.flatMap(({ name, color, buckets }) => {
      const near = nearest(buckets, at)
      return near === undefined ? [] : [{ name, color, mean: near.mean }]
    })
    return {
      begin: Math.max(first, at - width / 2),
      end: Math.min(last, at + width / 2),
      at,
      values,
    }
  })
}

function nearest(buckets: readonly Bucket[], at: number): Bucket | undefined {
  const distance = ({ from, to }: Bucket) => Math.max(0, from - at, at - to)
  return buckets.reduce<Bucket | undefined>(
    (best, bucket) => (best === undefined || distance(bucket) < distance(best) ? bucket : best),
    undefined,
  )
}

function rangeText({ at }: Row): string {
  return formatNumber(Math.round(at), 9)
}

function dataTable(
  title: string,
  xLabel: string,
  series: readonly ChartSeries[],
  format: (value: number) => string,
): string {
  const merged = series.map(({ buckets }) => new Map(everyFew(buckets).map((b) => [b.from, b])))
  const starts = [...new Set(merged.flatMap((map) => [...map.keys()]))].sort((a, b) => a - b)
  const isBand = series.some(({ buckets }) => buckets.some(({ min, max }) => min < max))
  const rows = starts.map((start) => {
    const some = merged.map((map) => map.get(start)).find((b) => b !== undefined)
    const name =
      some && some.to > some.from
        ? `${formatNumber(some.from, 9)} – ${formatNumber(some.to, 9)}`
        : formatNumber(start, 9)
    return [name, ...merged.map((map) => valueText(map.get(start), isBand, format))]
  })
  const header = [
    xLabel,
    ...series.map(({ name }) => (isBand ? `${name}: mean (lowest – highest)` : name)),
  ]
  return table(title, header, rows)
}

function valueText(
  bucket: Bucket | undefined,
  isBand: boolean,
  format: (value: number) => string,
): string {
  if (bucket === undefined) return '–'
  if (!isBand) return format(bucket.mean)
  return `${format(bucket.mean)} (${format(bucket.min)} – ${format(bucket.max)})`
}

/** At most as many rows as one reads. */
function everyFew(buckets: readonly Bucket[]): Bucket[] {
  const size = Math.ceil(buckets.length / TABLE_ROWS)
  const rows: Bucket[] = []
  for (let i = 0; i < buckets.length; i += size) {
    rows.push(joined(buckets.slice(i, i + size)))
  }
  return rows
}

function longest(series: readonly ChartSeries[]): number {
  return Math.max(...series.map(({ buckets }) => buckets.length))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

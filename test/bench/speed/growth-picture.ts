// The case `growth` as a picture: step time and peak over the batch and over the number of modules. It
// stands alone, unlike the charts of lib/report, whose colours and script are their page's.
import { scaleOf } from '../../../lib/report/scale.js'
import type { Result, Row } from './result.js'

const [WIDTH, HEIGHT] = [380, 240]
const MARGIN = { left: 52, right: 16, top: 34, bottom: 40 }
/** Told apart without colour too: by their marks. */
const COLOURS = ['#0b62a4', '#b4520a'] as const

interface Point {
  readonly x: number
  readonly y: number
}
interface Line {
  readonly label: string
  readonly points: readonly Point[]
}
interface Panel {
  readonly title: string
  readonly xLabel: string
  readonly lines: readonly Line[]
}

/** An SVG document; undefined where the result has no such case or nothing was measured. */
export function growthPicture({ cases }: Result): string | undefined {
  const rows = cases.find(({ name }) => name === 'growth')?.rows ?? []
  const measured = rows.flatMap((row) => placed(row) ?? [])
  if (measured.length === 0) return undefined
  const byBatch = measured.filter(({ modules }) => modules === undefined)
  const byModules = measured.filter(({ modules }) => modules !== undefined)
  const seconds = ({ row }: Placed) => row.stepSeconds?.median ?? Number.NaN
  const gibibytes = ({ row }: Placed) => (row.peakAllocatedBytes ?? Number.NaN) / 2 ** 30
  const overBatch = (title: string, y: (one: Placed) => number): Panel => ({
    ...{ title, xLabel: 'batch' },
    lines: [...new Set(byBatch.map(({ spec }) => spec))].map((spec) => ({
      label: spec,
      points: byBatch
        .filter((one) => one.spec === spec)
        .map((one) => ({ x: one.batch, y: y(one) })),
    })),
  })
  const overModules = (title: string, y: (one: Placed) => number): Panel => ({
    ...{ title, xLabel: 'modules' },
    lines: [
      {
        label: `paper:K,split=balanced, batch ${byModules[0]?.batch}`,
        points: byModules.map((one) => ({ x: one.modules as number, y: y(one) })),
      },
    ],
  })
  const panels = [
    overBatch('Step, s', seconds),
    overBatch('Peak allocated, GiB', gibibytes),
    overModules('Step, s', seconds),
    overModules('Peak allocated, GiB', gibibytes),
  ]
  const drawn = panels.map((panel, index) => {
    const [x, y] = [(index % 2) * WIDTH, Math.floor(index / 2) * HEIGHT]
    return `<g transform="translate(${x} ${y})">${draw(panel)}</g>`
  })
  const size = `width="${2 * WIDTH}" height="${2 * HEIGHT}"`
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${2 * WIDTH} ${2 * HEIGHT}"`,
    ' font-family="sans-serif" font-size="12" fill="#222">',
    '<rect width="100%" height="100%" fill="#fff"/>',
    ...drawn,
    '</svg>',
  ].join('\n')}\n`
}

interface Placed {
  readonly row: Row
  readonly spec: string
  readonly batch: number
  /** Of the rows that differ in it. */
  readonly modules: number | undefined
}

/** `paper:4,split=balanced, batch 16`. */
function placed(row: Row): Placed | undefined {
  const [, spec, batch] = /^(.*), batch (\d+)$/.exec(row.contender) ?? []
  if (row.status !== 'ok' || spec === undefined) return undefined
  const [, modules] = /^paper:(\d+),split=balanced$/.exec(spec) ?? []
  return {
    ...{ row, spec, batch: Number(batch) },
    modules: modules === undefined ? undefined : Number(modules),
  }
}

function draw({ title, xLabel, lines }: Panel): string {
  const points = lines.flatMap((line) => line.points)
  const x = scaleOf(points.map((point) => point.x).concat(0), { zero: true })
  const y = scaleOf(
    points.map((point) => point.y),
    { zero: true },
  )
  const [right, bottom] = [WIDTH - MARGIN.right, HEIGHT - MARGIN.bottom]
  const atX = (value: number) =>
    MARGIN.left + ((value - x.min) / (x.max - x.min)) * (right - MARGIN.left)
  const atY = (value: number) =>
    bottom - ((value - y.min) / (y.max - y.min)) * (bottom - MARGIN.top)
  const text = (at: Point, anchor: string, content: string, more = '') =>
    `<text x="${at.x.toFixed(1)}" y="${at.y.toFixed(1)}" text-anchor="${anchor}"${more}>${content}</text>`
  const mark = (line: number, at: Point) =>
    line === 0
      ? `<circle cx="${at.x.toFixed(1)}" cy="${at.y.toFixed(1)}" r="3.5"/>`
      : `<rect x="${(at.x - 3.5).toFixed(1)}" y="${(at.y - 3.5).toFixed(1)}" width="7" height="7"/>`
  return [
    text({ x: MARGIN.left, y: 18 }, 'start', title, ' font-weight="bold"'),
    ...y.ticks.flatMap((tick) => [
      `<path d="M${MARGIN.left} ${atY(tick).toFixed(1)}H${right}" stroke="#ddd"/>`,
      text({ x: MARGIN.left - 6, y: atY(tick) + 4 }, 'end', short(tick)),
    ]),
    ...x.ticks.map((tick) => text({ x: atX(tick), y: bottom + 16 }, 'middle', short(tick))),
    text({ x: (MARGIN.left + right) / 2, y: bottom + 32 }, 'middle', xLabel),
    ...lines.map((line, index) => {
      const colour = COLOURS[index % COLOURS.length] as string
      const places = line.points.map((point) => ({ x: atX(point.x), y: atY(point.y) }))
      const path = places.map((at) => `${at.x.toFixed(1)} ${at.y.toFixed(1)}`).join('L')
      // At the lower right, where no line comes: both axes begin at 0.
      const label = { x: MARGIN.left + 118, y: bottom - 10 - 16 * (lines.length - 1 - index) }
      return [
        `<path d="M${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>`,
        `<g fill="${colour}">${[...places, { x: label.x, y: label.y - 4 }].map((at) => mark(index, at)).join('')}</g>`,
        text({ x: label.x + 8, y: label.y }, 'start', line.label),
      ].join('\n')
    }),
  ].join('\n')
}

const short = (value: number) => String(Number(value.toPrecision(6)))

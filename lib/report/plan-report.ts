// A plan as one page: what fits, what it takes of each card, module by module.
import { formatBytes } from '../base/format.js'
import { packageVersion } from '../base/version.js'
import type { LargestBatch } from '../plan/batch-border.js'
import type { PlanResult } from '../plan/plan.js'
import type { PlanRow } from '../plan/plan-row.js'
import { details, escapeHtml, page, section, table } from './html.js'
import { STYLE } from './style.js'

const NONE = '–'

/** The whole file. */
export function planReport(result: PlanResult): string {
  const { network, rows, warnings } = result
  const title = `Swin ${network.variant} at ${network.imageSize} px: what fits`
  const { targets } = result
  const sections = [
    ...targets.map((target, k) => {
      const own = rows.filter((row) => row.target === target)
      const nothing = '<p class="soft">Nothing that was tried fits.</p>'
      return section(
        `target-${k}`,
        target,
        own.length === 0 ? nothing : `${bars(own)}${planTable(own)}`,
      )
    }),
    section('modules', 'Modules', rows.map(modulesOf).join('\n') || '<p class="soft">None.</p>'),
  ]
  const notes = warnings.map((text) => `<p class="note">${escapeHtml(text)}</p>`).join('')
  const body = `<main>
<header><h1>${escapeHtml(title)}</h1>
<p class="soft">${network.classes} classes, window ${network.windowSize}, LibTorch ${escapeHtml(result.versions.libtorch)}. Peaks are LibTorch’s own allocator’s; a context and the time of a step are estimates.</p>${notes}</header>
${sections.join('\n')}
<footer>Written by localformer ${escapeHtml(packageVersion())}.</footer>
</main>`
  return page(title, STYLE, body)
}

const BAR_HEIGHT = 22
const ROW_HEIGHT = 46

/** A bar a row: context, then what is resident, then the rest of the peak; a line where the card ends. */
function bars(rows: readonly PlanRow[]): string {
  const total = Math.max(...rows.map(({ totalBytes }) => totalBytes))
  const longest = Math.max(total, ...rows.map((row) => row.peakWithContextBytes ?? total)) * 1.04
  const share = (bytes: number) => `${((bytes / longest) * 100).toFixed(3)}%`
  const height = rows.length * ROW_HEIGHT + 8
  const parts = rows.map((row, k) => {
    const y = k * ROW_HEIGHT + 18
    const label = `<text x="0" y="${y - 5}">${escapeHtml(`${row.spec}: ${wordsOf(row)}`)}</text>`
    if (row.peakWithContextBytes === null || row.resident === null) return label
    const pieces = [
      ['p-losses', 0, row.contextBytes],
      ['p-update', row.contextBytes, row.resident.all],
      [
        'p-forward',
        row.contextBytes + row.resident.all,
        Math.max(row.peakWithContextBytes - row.contextBytes - row.resident.all, 0),
      ],
    ] as const
    const drawn = pieces.map(
      ([name, from, size]) =>
        `<rect class="${name}" x="${share(from)}" y="${y}" width="${share(size)}" height="${BAR_HEIGHT}"/>`,
    )
    return `${label}${drawn.join('')}`
  })
  const line = `<line class="peak" x1="${share(total)}" x2="${share(total)}" y1="0" y2="${height}"/>`
  return `<figure><figcaption>Context, resident, and the rest of the peak; the dashed line is ${escapeHtml(formatBytes(total))}</figcaption>
<svg role="img" aria-label="${escapeHtml(`Memory of ${rows.length} configurations; the table below has the figures.`)}" width="100%" height="${height}">${parts.join('')}${line}</svg></figure>`
}

function wordsOf(row: PlanRow): string {
  if (row.peakWithContextBytes === null) return row.verdict
  return `${row.verdict}, ${formatBytes(row.peakWithContextBytes)} of ${formatBytes(row.totalBytes)}`
}

function planTable(rows: readonly PlanRow[]): string {
  const header = [
    'run',
    'gradients',
    'verdict',
    'batch',
    'allocated',
    'reserved',
    'with context',
    'left',
    'largest batch',
    's/step, estimated',
  ]
  return table(
    'Plan',
    header,
    rows.map((row) => [
      row.spec,
      row.gradients,
      row.verdict,
      `${row.batchSize}`,
      bytesText(row.peakAllocatedBytes),
      bytesText(row.peakReservedBytes),
      bytesText(row.peakWithContextBytes),
      bytesText(row.marginBytes),
      row.largestBatch === null ? NONE : largestText(row.largestBatch),
      row.stepSeconds === null ? NONE : row.stepSeconds.toPrecision(2),
    ]),
  )
}

function bytesText(bytes: number | null): string {
  return bytes === null ? NONE : formatBytes(bytes)
}

function modulesOf(row: PlanRow): string {
  if (row.modules.length === 0) return ''
  const rows = row.modules.map(({ name, units, peakAllocatedBytes, phasePeakBytes }) => [
    name,
    units.length === 1 ? (units[0] ?? '') : `${units[0]} .. ${units.at(-1)}`,
    formatBytes(peakAllocatedBytes),
    ...Object.values(phasePeakBytes).map(formatBytes),
  ])
  const header = ['module', 'units', 'peak', 'forward', 'losses', 'backward', 'update']
  return details(`${row.spec} on ${row.target}`, table(`Modules of ${row.spec}`, header, rows))
}

function largestText({ safe, possible, isLowerBound }: LargestBatch): string {
  return isLowerBound && safe === possible ? `\u2265 ${safe}` : `${safe}`
}

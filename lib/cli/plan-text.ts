// A plan as text: a table, bars with the card's end in them, and what to do next.
import { formatBytes } from '../base/format.js'
import type { LargestBatch } from '../plan/batch-border.js'
import type { PlanResult } from '../plan/plan.js'
import type { PlanRow } from '../plan/plan-row.js'
import { recomputeText } from './comparison.js'
import { formatTable } from './table.js'

/** `train` of a row: what was asked for, with this run spec. */
export type CommandOf = (row: PlanRow) => string

export function formatPlan(result: PlanResult, commandOf: CommandOf): string {
  const { network, rows, targets, versions, warnings } = result
  const head = `Swin ${network.variant} at ${network.imageSize} px, ${network.classes} classes, batch ${rows[0]?.batchSize ?? '?'}, LibTorch ${versions.libtorch}`
  const parts = targets.flatMap((target) => {
    const own = rows.filter((row) => row.target === target)
    if (own.length === 0) return ['', `${target}: nothing that was tried fits`]
    return ['', ...targetText(target, own, result.isSearch)]
  })
  const best = rows.find(({ verdict }) => verdict === 'fits') ?? rows[0]
  return [
    head,
    ...parts,
    '',
    ...legend(rows),
    ...warnings.map((text) => `Warning: ${text}`),
    ...(best === undefined ||
    best.verdict === 'does not fit' ||
    !(result.isSearch || rows.length === 1)
      ? []
      : ['', `To train it: ${commandOf(best)}`]),
  ].join('\n')
}

function targetText(target: string, rows: readonly PlanRow[], isSearch: boolean): string[] {
  const [first] = rows
  if (first === undefined) return []
  const total = `${formatBytes(first.totalBytes)}${first.contextBytes > 0 ? `, of which about ${formatBytes(first.contextBytes)} are taken beside tensors` : ''}`
  const head = [
    'run',
    ...(isSearch ? ['gradients'] : []),
    'verdict',
    'peak',
    'reserved',
    'left',
    'largest batch',
    's/step',
  ]
  const cells = rows.map((row) => [
    row.spec,
    ...(isSearch ? [row.gradients] : []),
    row.verdict,
    `${row.isLowerBound ? '>= ' : ''}${bytesText(row.peakAllocatedBytes)}`,
    bytesText(row.peakReservedBytes),
    bytesText(row.marginBytes),
    row.largestBatch === null ? '' : largestText(row.largestBatch),
    row.stepSeconds === null ? '' : `~${row.stepSeconds.toPrecision(2)}`,
  ])
  const hasCells = head.map((_, column) => cells.some((row) => row[column] !== ''))
  const filled = (row: readonly string[]) => row.filter((_, column) => hasCells[column])
  return [
    `${target}: ${total}`,
    '',
    formatTable(filled(head), cells.map(filled)),
    '',
    ...rows.map((row) => barOf(row, Math.max(...rows.map(({ spec }) => spec.length)))),
    ...rows.flatMap(({ spec, failsIn }) =>
      failsIn?.module == null
        ? []
        : [`${spec} runs out of memory in the ${failsIn.phase} phase of ${failsIn.module}`],
    ),
  ]
}

function largestText({ safe, possible, isLowerBound }: LargestBatch): string {
  const most = `${isLowerBound ? '>= ' : ''}${possible}`
  return safe === possible ? most : `${safe} (${most})`
}

const WIDTH = 40

/** `paper:4  ▒▒██████········|  2.31 of 11.6 GiB`: context, peak, what is left, the device's end. */
function barOf(row: PlanRow, width: number): string {
  const { spec, totalBytes, contextBytes, peakWithContextBytes: peak } = row
  const cells = (bytes: number) => Math.round((bytes / totalBytes) * WIDTH)
  if (peak === null)
    return `${spec.padEnd(width)}  ${'█'.repeat(WIDTH)}|██>  more than ${formatBytes(totalBytes)}`
  const context = Math.min(cells(contextBytes), WIDTH)
  const filled = Math.min(Math.max(cells(peak), 1), WIDTH)
  const bar = '▒'.repeat(context) + '█'.repeat(Math.max(filled - context, 0))
  return `${spec.padEnd(width)}  ${bar.padEnd(WIDTH, '·')}|  ${formatBytes(peak)} of ${formatBytes(totalBytes)}`
}

function legend(rows: readonly PlanRow[]): string[] {
  if (rows.length === 0) return []
  const isCard = rows.some(({ device }) => device !== 'cpu')
  return [
    `peak: of what is allocated in a step, by ${isCard ? "LibTorch's allocator on a simulated card" : 'the allocator itself; nothing was computed'}. left: of the whole, ${isCard ? 'context (an estimate) and reserved bytes taken off' : 'tensors and this process taken off'}.`,
    ...(rows.some(({ verdict }) => verdict === 'tight')
      ? [
          'tight: a step runs, but with less left than a context, a driver or a desktop may differ by.',
        ]
      : []),
    ...(rows.some(
      ({ largestBatch: largest }) => largest !== null && largest.safe !== largest.possible,
    )
      ? ['largest batch: that fits; in brackets the largest that runs at all.']
      : []),
    ...recomputeText(
      rows,
      'Where a run does not say what it recomputes it is planned as `train` runs it: recompute=selective.',
    ),
    ...(rows.some(({ stepSeconds }) => stepSeconds !== null)
      ? ['s/step: estimated from products, bytes and launches; for comparing rows alone.']
      : []),
  ]
}

function bytesText(bytes: number | null): string {
  return bytes === null ? '' : formatBytes(bytes)
}

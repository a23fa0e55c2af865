// What several ranks would take, as a table.
import { formatBytes } from '../base/format.js'
import type { RankRow } from '../plan/ranks.js'
import { formatTable } from './table.js'

export function formatRanks(rows: readonly RankRow[], link: string): string {
  const head = [
    'run',
    'parallel',
    'ranks',
    'resident',
    'peak',
    'sent a step',
    's/step',
    'images/s',
    'times',
  ]
  const cells = rows.map((row) => {
    const most = (of: 'residentBytes' | 'peakAllocatedBytes' | 'sentBytes') =>
      formatBytes(Math.max(...row.perRank.map((rank) => rank[of])))
    return [
      ...[row.spec, row.parallel, `${row.ranks}`],
      ...[most('residentBytes'), most('peakAllocatedBytes'), most('sentBytes')],
      ...[`~${row.stepSeconds.toPrecision(2)}`, row.imagesPerSecond.toPrecision(3)],
      `${row.speedup.toFixed(2)}x`,
    ]
  })
  const [first] = rows
  const batch = first === undefined ? '' : `, batch ${first.batchSize}`
  return [
    `Ranks on the CPU, each a process as this one would be, over ${link}${batch}:`,
    '',
    formatTable(head, cells),
    '',
    'resident, peak, sent: of the rank that takes most. s/step: an estimate, from modules timed here and the link.',
  ].join('\n')
}

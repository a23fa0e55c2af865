// A benchmark as Markdown.
import { formatBytes } from '../../../lib/base/format.js'
import { markdownTable } from '../../../lib/cli/markdown.js'
import type { Result, Row } from './result.js'

const HEAD = [
  ...['contender', 'step, s', 'spread', 'time', 'images/s', 'first step, s', 'tuning, s'],
  ...['resident', 'resident, of', 'allocated', 'loss, first', 'loss, last'],
]

const fixed = (value: number | null, digits: number) => value?.toFixed(digits) ?? ''
const bytes = (value: number | null) => (value === null ? '' : formatBytes(value))
const times = (value: number | null) => (value === null ? '' : `${value.toFixed(3)}x`)

function cells(row: Row): string[] {
  const { stepSeconds: step } = row
  if (row.status !== 'ok' || step === null) {
    return [row.contender, `${row.status}: ${row.reason}`]
  }
  return [
    ...[row.contender, fixed(step.median, 3), `${fixed(step.min, 3)} to ${fixed(step.max, 3)}`],
    ...[times(row.timeRatio), fixed(row.imagesPerSecond, 1), fixed(row.firstStepSeconds, 2)],
    ...[fixed(row.tuningSeconds, 2), bytes(row.peakRssBytes), times(row.rssRatio)],
    ...[bytes(row.peakAllocatedBytes), fixed(row.firstLoss, 4), fixed(row.lastLoss, 4)],
  ]
}

export function caseAsMarkdown({ name, title, rows }: Result['cases'][number]): string {
  const against = [...new Set(rows.map((row) => `\`${row.against}\``))].join(', ')
  return [
    `### ${name}: ${title}`,
    markdownTable(HEAD, rows.map(cells)),
    `time and resident, of: against ${against}, medians and peaks; below 1 is faster and smaller.`,
  ].join('\n\n')
}

/** Where and with what it was measured. */
export function surroundingsAsMarkdown(result: Result): string {
  const { machine, rounds, threads, versions, commit, startedAt, busyProcesses } = result
  const busy =
    busyProcesses === 0
      ? ''
      : `beside ${busyProcesses} busy process${busyProcesses === 1 ? '' : 'es'}, `
  const told = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `Measured on ${startedAt.slice(0, 10)} on ${machine.processor} (${machine.cores} cores, ` +
      `${threads} threads, load ${machine.load.toFixed(1)} before), ${busy}commit ${commit ?? 'unknown'}, ` +
      `${rounds} round${rounds === 1 ? '' : 's'} in turn${result.quick ? ' (--quick)' : ''}` +
      `${told.length === 0 ? '' : `; ${told.join(', ')}`}.`,
    ...result.warnings.map((warning) => `- ${warning}`),
  ].join('\n')
}

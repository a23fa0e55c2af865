// Peaks that were planned beside those of steps that were computed, each in a process of its own, and what
// becomes of both under a limit a little above the peak and one below.

import { markdownTable } from '../../../lib/cli/markdown.js'
import { DryRunner } from '../../../lib/plan/dry-runner.js'
import { CPU_ERROR } from '../../../lib/plan/target.js'
import { MEMORY_CASES, type PlanCase } from './cases.js'
import { MIB, requestOfCase } from './requests.js'

/**
 * Of a peak: what a limit is above it for a step that has to run, as a plan that `fits` promises, and below it
 * for one that must not.
 */
const ABOVE = CPU_ERROR
const BELOW = 0.1

/** No peak may be off by more, upwards or downwards: more than planned does not fit, less leaves room unused. */
export const MOST_ERROR = CPU_ERROR

export interface MemoryRow extends PlanCase {
  readonly plannedBytes: number
  readonly measuredBytes: number
  /** Of the whole step's peak. */
  readonly error: number
  /** Of the module whose peak is furthest off. */
  readonly worstModuleError: number
  readonly trainsAbove: boolean
  /** `module 1, forward`; null: it did not fail. */
  readonly failsPlanned: string | null
  readonly failsMeasured: string | null
}

/** Side by side: nothing is timed. */
const PROCESSES = 2

export async function memoryRows(tell: (text: string) => void): Promise<MemoryRow[]> {
  await using planner = await DryRunner.start({ device: 'cpu', computes: false })
  const rows: MemoryRow[] = []
  const waiting = MEMORY_CASES.entries()
  let done = 0
  const work = async () => {
    for (const [k, one] of waiting) {
      const row = await memoryRow(planner, one)
      rows[k] = row
      const { plannedBytes, measuredBytes } = row
      tell(
        `${++done} of ${MEMORY_CASES.length}: ${describe(one)}, ${plannedBytes}, ${measuredBytes}`,
      )
    }
  }
  await Promise.all(Array.from({ length: PROCESSES }, work))
  return rows
}

const describe = ({ run, imageSize, batchSize }: PlanCase) =>
  `${run}, ${imageSize} px, batch ${batchSize}`

async function memoryRow(planner: DryRunner, one: PlanCase): Promise<MemoryRow> {
  const planned = await peaksOf(planner, one)
  await using trainer = await DryRunner.start({ device: 'cpu', computes: true })
  // The step that is measured runs under the limit at once: a second one would take as long again.
  const above = await trainer.run(
    requestOfCase(one, Math.floor(planned.peakAllocatedBytes * (1 + ABOVE))),
  )
  const measured = above.status === 'ok' ? above : await peaksOf(trainer, one)
  const below = requestOfCase(one, Math.floor(planned.peakAllocatedBytes * (1 - BELOW)))
  const errors = planned.modules.map(({ peakAllocatedBytes }, k) =>
    errorOf(peakAllocatedBytes, measured.modules[k]?.peakAllocatedBytes ?? 0),
  )
  return {
    ...one,
    plannedBytes: planned.peakAllocatedBytes,
    measuredBytes: measured.peakAllocatedBytes,
    error: errorOf(planned.peakAllocatedBytes, measured.peakAllocatedBytes),
    worstModuleError: errors.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0),
    trainsAbove: above.status === 'ok',
    failsPlanned: await failureOf(planner, below),
    failsMeasured: await failureOf(trainer, below),
  }
}

async function peaksOf(runner: DryRunner, one: PlanCase) {
  const result = await runner.run(requestOfCase(one))
  if (result.status !== 'ok') throw new Error(`${describe(one)}: ${result.message}`)
  return result
}

async function failureOf(runner: DryRunner, request: ReturnType<typeof requestOfCase>) {
  const result = await runner.run(request)
  return result.status === 'ok' ? null : `${result.module}, ${result.phase}`
}

const errorOf = (planned: number, measured: number) => planned / measured - 1

/** What is wrong with the rows, a line each. */
export function memoryFaults(rows: readonly MemoryRow[]): string[] {
  return rows.flatMap((row) => {
    const faults: string[] = []
    if (Math.abs(row.error) > MOST_ERROR) faults.push(`a peak that is off by ${percent(row.error)}`)
    if (!row.trainsAbove) faults.push(`no step at ${ABOVE * 100} % above its peak`)
    if (row.failsMeasured === null) faults.push(`a step at ${BELOW * 100} % below its peak`)
    else if (moduleOf(row.failsMeasured) !== moduleOf(row.failsPlanned)) {
      faults.push(`out of memory in ${row.failsMeasured}, planned in ${row.failsPlanned}`)
    }
    return faults.map((fault) => `${describe(row)}: ${fault}`)
  })
}

const moduleOf = (failure: string | null) => failure?.split(',')[0]

export function memoryTable(rows: readonly MemoryRow[]): string {
  const mib = (bytes: number) => (bytes / MIB).toFixed(1)
  const cells = rows.map((row) => [
    ...[`\`${row.run}\``, `${row.imageSize}`, `${row.batchSize}`],
    ...[mib(row.plannedBytes), mib(row.measuredBytes), percent(row.error)],
    ...[percent(row.worstModuleError), row.trainsAbove ? 'trains' : 'FAILS'],
    row.failsMeasured === null
      ? 'TRAINS'
      : `${row.failsMeasured}${row.failsMeasured === row.failsPlanned ? '' : ` (planned: ${row.failsPlanned})`}`,
  ])
  const head = [
    ...['run', 'px', 'batch', 'planned, MiB', 'measured, MiB', 'error', 'worst module'],
    ...[`at ${ABOVE * 100} % above`, `at ${BELOW * 100} % below it fails in`],
  ]
  const worst = Math.max(...rows.map(({ error }) => Math.abs(error)))
  const worstModule = Math.max(...rows.map((row) => Math.abs(row.worstModuleError)))
  const same = rows.filter(({ plannedBytes, measuredBytes }) => plannedBytes === measuredBytes)
  return [
    markdownTable(head, cells, 'lrrrrrrll'),
    '',
    `${rows.length} configurations, ${same.length} of them equal to the byte; worst case ${percent(worst)} of the peak, ${percent(worstModule)} of a module's.`,
  ].join('\n')
}

function percent(share: number): string {
  return share === 0 ? '0' : `${(share * 100).toFixed(2)} %`
}

// Estimated times of a step beside measured ones: are configurations set in the same order?

import { markdownTable } from '../../../lib/cli/markdown.js'
import { DryRunner } from '../../../lib/plan/dry-runner.js'
import { measureCosts } from '../../../lib/plan/search.js'
import { stepSecondsOf } from '../../../lib/plan/step-time.js'
import { cpuTarget } from '../../../lib/plan/target.js'
import { TIMED, TIMED_RUNS } from './cases.js'
import { CLASSES, configOfCase, requestOfCase } from './requests.js'

/** Other work on the machine meets all of them alike when they take turns; the least of each counts. */
const ROUNDS = 2

/** What an estimate is good for. */
export const LEAST_CORRELATION = 0.9

export interface TimeRow {
  readonly run: string
  readonly estimatedSeconds: number
  readonly measuredSeconds: number
}

export async function timeRows(tell: (text: string) => void): Promise<TimeRow[]> {
  const config = configOfCase({ ...TIMED, run: 'backprop,dtype=float32' })
  const costs = await measureCosts({ config, classes: CLASSES, target: cpuTarget(), fixed: {} })
  await using planner = await DryRunner.start({ device: 'cpu', computes: false })
  await using trainer = await DryRunner.start({ device: 'cpu', computes: true })
  const estimated: number[] = []
  const measured = TIMED_RUNS.map(() => Number.POSITIVE_INFINITY)
  for (const run of TIMED_RUNS) {
    const result = await planner.run(requestOfCase({ ...TIMED, run }))
    if (result.status !== 'ok') throw new Error(`${run}: ${result.message}`)
    estimated.push(stepSecondsOf(result.work, costs))
  }
  for (let round = 1; round <= ROUNDS; round++) {
    for (const [k, run] of TIMED_RUNS.entries()) {
      tell(`round ${round} of ${ROUNDS}: ${run}`)
      const result = await trainer.run(requestOfCase({ ...TIMED, run }))
      if (result.status !== 'ok') throw new Error(`${run}: ${result.message}`)
      measured[k] = Math.min(measured[k] as number, result.stepSeconds)
    }
  }
  return TIMED_RUNS.map((run, k) => ({
    run,
    estimatedSeconds: estimated[k] as number,
    measuredSeconds: measured[k] as number,
  }))
}

/** Spearman's: Pearson's of the ranks; equal values share theirs. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranksOf(a), ranksOf(b)]
  const mean = (a.length - 1) / 2
  const sum = (f: (k: number) => number) => x.reduce((total, _, k) => total + f(k), 0)
  const dx = (k: number) => (x[k] as number) - mean
  const dy = (k: number) => (y[k] as number) - mean
  return sum((k) => dx(k) * dy(k)) / Math.sqrt(sum((k) => dx(k) ** 2) * sum((k) => dy(k) ** 2))
}

function ranksOf(values: readonly number[]): number[] {
  return values.map((value) => {
    const less = values.filter((other) => other < value).length
    const equal = values.filter((other) => other === value).length
    return less + (equal - 1) / 2
  })
}

export function correlationOf(rows: readonly TimeRow[]): number {
  return rankCorrelation(
    rows.map(({ estimatedSeconds }) => estimatedSeconds),
    rows.map(({ measuredSeconds }) => measuredSeconds),
  )
}

export function timeTable(rows: readonly TimeRow[]): string {
  const cells = rows.map(({ run, estimatedSeconds: planned, measuredSeconds: taken }) => [
    ...[`\`${run}\``, planned.toFixed(2), taken.toFixed(2), (planned / taken).toFixed(2)],
  ])
  const { imageSize, batchSize } = TIMED
  return [
    markdownTable(['run', 'estimated, s', 'measured, s', 'ratio'], cells, 'lrrr'),
    '',
    `${rows.length} configurations at ${imageSize} px, batch ${batchSize}, the least of ${ROUNDS} steps each; Spearman's rank correlation ${correlationOf(rows).toFixed(3)}.`,
  ].join('\n')
}

// Every sensible configuration that fits a card or this machine, the fastest by estimate first.

import { LocalformerError } from '../base/errors.js'
import { type RunParts, runPartsOf } from '../config/run-parts.js'
import type { Dtype } from '../local/words.js'
import { type Candidate, candidatesFor } from './candidates.js'
import { DryRunner, withRunners } from './dry-runner.js'
import { type PlanRow, type PlanSubject, planRow } from './plan-row.js'
import { requestOf, withRun } from './request.js'
import {
  measureCopies,
  NOMINAL_CPU,
  operationsASecond,
  operatorSecondsOf,
  type TimedStep,
  type UnitCosts,
} from './step-time.js'
import { hasBfloat16 } from './target.js'

/** Of the configuration all but the run spec is taken. */
export interface SearchSubject extends PlanSubject {
  /** Parts of a run spec that stay: `{ method: 'paper' }`. */
  readonly fixed: RunParts
}

export interface SearchOptions {
  readonly signal?: AbortSignal | undefined
  readonly onTried?: (progress: { spec: string; done: number; total: number }) => void
}

/** That try side by side. */
const PROCESSES = 2

/**
 * Rows that fit or are tight, sorted by estimated time. Of a kind that does not fit, micro-batches and
 * offload are tried until one does.
 */
export async function search(
  subject: SearchSubject,
  { signal, onTried }: SearchOptions = {},
): Promise<PlanRow[]> {
  return withRunners(subject.target, PROCESSES, signal, async (runners) => {
    const candidates = candidatesOf(subject, hasBfloat16(subject.target, runners[0]))
    const costs =
      subject.target.card === undefined ? await measureCosts(subject, signal) : undefined
    const waiting = [...candidates]
    const rows: PlanRow[] = []
    let done = 0
    const work = async (runner: DryRunner) => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const row = await firstThatFits(runner, subject, next, { signal, costs })
        if (row !== undefined) rows.push(row)
        onTried?.({ spec: next.run, done: ++done, total: candidates.length })
      }
    }
    await Promise.all(runners.map(work))
    return rows.sort(bySeconds)
  })
}

function candidatesOf(
  { config, target, fixed }: SearchSubject,
  takesBfloat16: boolean,
): readonly Candidate[] {
  return candidatesFor({
    fixed,
    batchSize: config.config.training.batchSize,
    units: config.network.depths.reduce((sum, depth) => sum + depth, 0),
    hasBfloat16: takesBfloat16,
    canOffload: target.device !== 'cpu',
  })
}

async function firstThatFits(
  runner: DryRunner,
  { config, classes, target }: SearchSubject,
  { run, else: others }: Candidate,
  { signal, costs }: { signal: AbortSignal | undefined; costs: UnitCosts | undefined },
): Promise<PlanRow | undefined> {
  for (const text of [run, ...others]) {
    const row = await unlessRefused(() =>
      planRow(
        runner,
        { config: withRun(config, text), classes, target },
        { largestBatch: false, ...(signal && { signal }), ...(costs && { costs }) },
      ),
    )
    if (row !== undefined && row.verdict !== 'does not fit') return row
  }
  return undefined
}

/** Undefined where the parts of a configuration that is tried do not go together. */
export async function unlessRefused<T>(attempt: () => Promise<T>): Promise<T | undefined> {
  try {
    return await attempt()
  } catch (error) {
    if (error instanceof LocalformerError && error.code === 'ERR_CONFIG') return undefined
    throw error
  }
}

/** What fits before what is tight, then the faster, then the smaller. */
function bySeconds(a: PlanRow, b: PlanRow): number {
  const tight = Number(a.verdict === 'tight') - Number(b.verdict === 'tight')
  const seconds =
    (a.stepSeconds ?? Number.POSITIVE_INFINITY) - (b.stepSeconds ?? Number.POSITIVE_INFINITY)
  return tight || seconds || (a.peakAllocatedBytes ?? 0) - (b.peakAllocatedBytes ?? 0)
}

/** Images of the steps that are computed to learn what this processor makes of them. */
const [FEW_IMAGES, MORE_IMAGES] = [1, 4]

/**
 * What products, operators and bytes cost on this processor: steps of few images of the network, computed
 * for each type, and copies of memory.
 */
export async function measureCosts(
  { config, classes, target }: SearchSubject,
  signal?: AbortSignal,
): Promise<UnitCosts> {
  await using runner = await DryRunner.start({ ...target, computes: true }, signal)
  const bytes = measureCopies()
  const step = async (dtype: Dtype, batchSize: number): Promise<TimedStep | undefined> => {
    const request = requestOf(withRun(config, `backprop,dtype=${dtype}`), classes)
    const result = await unlessRefused(() =>
      runner.run({ ...request, batchSize, limitBytes: 0 }, signal),
    )
    return result?.status === 'ok' ? { work: result.work, seconds: result.stepSeconds } : undefined
  }
  const costs = { ...NOMINAL_CPU, bytes, transferBytes: bytes }
  const few = await step('float32', FEW_IMAGES)
  const more = await step('float32', MORE_IMAGES)
  if (few === undefined || more === undefined) return costs
  const operatorSeconds = operatorSecondsOf(few, more, 'float32', bytes)
  const float32 = operationsASecond(more, 'float32', { bytes, operatorSeconds })
  const measured = { ...costs, operatorSeconds, float32, bfloat16: float32 }
  if (runPartsOf(config.spec.text).dtype === 'float32') return measured
  const half = await step('bfloat16', FEW_IMAGES)
  if (half === undefined) return measured
  return { ...measured, bfloat16: operationsASecond(half, 'bfloat16', measured) }
}

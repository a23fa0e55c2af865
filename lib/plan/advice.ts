// What to change where memory does not suffice: each change is tried, and only what fits is proposed.
// in: a configuration, a device and its limit -> out: changes with their peaks, the cheapest in time first.
import { formatBytes } from '../base/format.js'
import type { ResolvedConfig } from '../config/resolve.js'
import { changeRun, type RunParts } from '../config/run-parts.js'
import { DEFAULTS } from '../config/schema.js'
import { DryRunner } from './dry-runner.js'
import { type PlanRow, type PlanSubject, planRow } from './plan-row.js'
import { withBatch, withRun } from './request.js'
import { unlessRefused } from './search.js'
import { NOMINAL_CPU } from './step-time.js'
import { hasBfloat16, type PlanTarget } from './target.js'

/** A change after which training fits. */
export interface Change {
  /** In words. */
  readonly change: string
  /** Run spec with it. */
  readonly run: string
  readonly batchSize: number
  /** What a step then takes of tensors; bytes. */
  readonly peakAllocatedBytes: number
  /** `local`: other gradients than those of end-to-end training. */
  readonly gradients: 'exact' | 'local'
}

interface Attempt {
  readonly words: string
  readonly parts: RunParts
}

/** Of more nobody reads. */
const MOST_CHANGES = 5

/**
 * None where the configuration itself fits, so that something else took the memory, or where nothing
 * helps.
 *
 * @throws {LocalformerError} what starting the process that tries steps throws.
 */
export async function adviseOnMemory(
  { config, classes, target }: PlanSubject,
  signal?: AbortSignal,
): Promise<readonly Change[]> {
  await using runner = await DryRunner.start(target, signal)
  const row = (one: ResolvedConfig, largestBatch = false) =>
    planRow(
      runner,
      { config: one, classes, target },
      { largestBatch, ...(signal && { signal }), ...(target.card ? {} : { costs: NOMINAL_CPU }) },
    )
  const asItIs = await row(config, true)
  if (asItIs.verdict !== 'does not fit') return []
  const found: { row: PlanRow; change: Change }[] = []
  for (const { words, parts } of changesOf(config, target, hasBfloat16(target, runner))) {
    const changed = await unlessRefused(async () =>
      row(withRun(config, changeRun(config.spec.text, parts))),
    )
    if (changed?.verdict !== 'fits') continue
    found.push({ row: changed, change: changeOf(words, changed) })
  }
  const seconds = ({ row }: (typeof found)[number]) => row.stepSeconds ?? Number.POSITIVE_INFINITY
  const changes = found
    .sort((a, b) => seconds(a) - seconds(b))
    .slice(0, MOST_CHANGES)
    .map(({ change }) => change)
  const smaller = asItIs.largestBatch?.safe ?? 0
  if (smaller === 0) return changes
  // Another batch changes what is learned, so it comes last.
  const last = await row(withBatch(config, smaller))
  if (last.verdict !== 'fits') return changes
  return [...changes, changeOf(`a batch of ${smaller} images`, last)]
}

/** As a line for a person. */
export function changeText({ change, run, peakAllocatedBytes, gradients }: Change): string {
  const local = gradients === 'local' ? ', local gradients' : ''
  return `${change}: ${formatBytes(peakAllocatedBytes)} (${run}${local})`
}

function changeOf(change: string, row: PlanRow): Change {
  const { spec, batchSize, gradients, peakAllocatedBytes } = row
  return { change, run: spec, batchSize, gradients, peakAllocatedBytes: peakAllocatedBytes ?? 0 }
}

function changesOf(
  { config, spec, network }: ResolvedConfig,
  target: PlanTarget,
  takesBfloat16: boolean,
): Attempt[] {
  const { method, accumulate, dtype, offload, split, modules } = spec
  const recompute = spec.given.recompute ?? DEFAULTS.recompute
  const blocks = network.depths.reduce((sum, depth) => sum + depth, 0)
  const isLocal = method !== 'backprop'
  const more = [2, 4, 8, 16].map((times) => accumulate * times)
  const changes: (Attempt | false)[] = [
    recompute === 'none' && {
      words: 'compute again inside blocks what is cheap',
      parts: { recompute: 'selective' },
    },
    recompute !== 'block' && {
      words: 'compute every block again in the backward pass',
      parts: { recompute: 'block' },
    },
    ...more
      .filter((count) => count <= config.training.batchSize)
      .map((count) => ({ words: `${count} micro-batches`, parts: { accumulate: `${count}` } })),
    dtype === 'float32' &&
      takesBfloat16 && {
        words: 'products in bfloat16',
        parts: { dtype: 'bfloat16' },
      },
    isLocal &&
      modules > 1 &&
      split !== 'balanced' && {
        words: 'balanced cuts',
        parts: { split: 'balanced', modules: `${modules}` },
      },
    ...[4, 8]
      .filter((count) => count <= blocks && (!isLocal || count > modules))
      .map((count) => ({
        words: `${count} locally trained modules, balanced`,
        parts: { ...(isLocal ? {} : { method: 'paper' }), modules: `${count}`, split: 'balanced' },
      })),
    isLocal &&
      offload === 'none' &&
      target.device !== 'cpu' && {
        words: 'modules that are not at work wait on the host',
        parts: { offload: 'modules' },
      },
  ]
  return changes.filter((change) => change !== false)
}

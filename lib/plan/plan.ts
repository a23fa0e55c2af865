// Will it fit? What a training configuration takes of a card's or this machine's memory, by the allocator
// itself: steps are tried in other processes, on a simulated card or on the CPU without computing.
// in: configurations, cards or a limit -> out: a row for each pair, or what was found to fit.
import { bytesOfLimit } from '../base/bytes.js'
import { expected, LocalformerError } from '../base/errors.js'
import {
  checkCallback,
  checkKeys,
  checkSignal,
  definedOf,
  isA,
  readArgument,
} from '../base/validate.js'
import { packageVersion } from '../base/version.js'
import { ResolvedConfig, resolveInput } from '../config/resolve.js'
import { changeRun, type RunParts } from '../config/run-parts.js'
import type { TrainingConfigInput } from '../config/schema.js'
import { MANIFEST } from '../libtorch/manifest.js'
import { parseRunSpec } from '../local/run-spec.js'
import { withRunners } from './dry-runner.js'
import { type PlanRow, type PlanSubject, planRow } from './plan-row.js'
import { checkBatch, classesOf } from './request.js'
import { type SearchSubject, search } from './search.js'
import { cpuTarget, gpuTarget, type PlanTarget } from './target.js'

export interface PlanOptions {
  /** Cards: `rtx3060`, `24GiB`, `12GiB,sm_86`. Without any the CPU is planned for. */
  readonly gpus?: readonly string[]
  /** Run specs instead of the configuration's. */
  readonly runs?: readonly string[]
  /** Number of classes; default: the data set's. */
  readonly classes?: number
  /** What tensors may take at most, of a card or the CPU, in bytes or as text (`4GiB`); default: all there is. */
  readonly memoryLimit?: number | string
  /**
   * Rank every sensible configuration that fits instead: method, cuts, recomputation, micro-batches,
   * type and offload, the fastest by estimate first. Parts of a run spec stay as they are:
   * `{ method: 'paper', dtype: 'bfloat16' }`; `{}` leaves all open. Default: the configuration itself.
   */
  readonly search?: Readonly<Record<string, string>>
  /** Look for the largest batch too, which takes some seconds; default true; not with `search`. */
  readonly largestBatch?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: PlanProgress) => void
}

export interface PlanProgress {
  readonly spec: string
  /** Card or CPU. */
  readonly target: string
  /** Steps that were tried for this row. */
  readonly tried: number
  /** Rows that are done, and all of them. */
  readonly done: number
  readonly total: number
}

export interface PlanResult {
  readonly schema: 1
  /** Are the rows what was found to fit, the fastest by estimate first? */
  readonly isSearch: boolean
  readonly versions: {
    readonly localformer: string
    readonly libtorch: string
    readonly node: string
  }
  readonly network: {
    readonly variant: string
    readonly imageSize: number
    readonly patchSize: number
    readonly windowSize: number
    readonly classes: number
  }
  /** Every card, or the CPU, also where no row of a search fits. */
  readonly targets: readonly string[]
  readonly rows: readonly PlanRow[]
  /** What should be known before the figures are trusted, as sentences; mostly empty. */
  readonly warnings: readonly string[]
}

const KEYS = [
  ...['gpus', 'runs', 'classes', 'memoryLimit', 'search', 'largestBatch', 'signal', 'onProgress'],
]

/**
 * What training takes of cards that need not be there, or of the CPU's memory.
 *
 * ```ts
 * const { rows } = await plan({ run: 'backprop', model: { imageSize: 224 } }, { gpus: ['rtx3060'] })
 * rows[0]?.verdict // 'fits'
 * ```
 *
 * @throws {LocalformerError} `ERR_CONFIG`; `ERR_LIBTORCH_NOT_FOUND` where LibTorch, or for cards what
 *   simulates them, is not installed.
 */
export async function plan(
  config: TrainingConfigInput | ResolvedConfig = {},
  options: PlanOptions = {},
): Promise<PlanResult> {
  const checked = readArgument('options', () => checkOptions(options))
  const resolved = resolvedOf(config, checked.runs)
  const [first] = resolved as [ResolvedConfig]
  resolved.forEach(checkBatch)
  const targets = targetsOf(checked)
  const classes = checked.classes ?? classesOf(first)
  const found: PlanRow[][] = []
  const warnings: string[] = []
  for (const target of targets) {
    const rows = checked.search
      ? await searched({ config: first, classes, target, fixed: checked.search }, checked)
      : await planned(resolved, { classes, target }, checked, found.flat().length, targets.length)
    found.push(rows)
  }
  const rows = found.flat()
  for (const target of targets) warnings.push(...warningsOf(target, rows))
  const { imageSize, patchSize, windowSize } = first.network
  const { variant } = first.config.model
  return {
    schema: 1,
    isSearch: checked.search !== undefined,
    versions: {
      localformer: packageVersion(),
      libtorch: MANIFEST.version,
      node: process.versions.node,
    },
    network: { variant, imageSize, patchSize, windowSize, classes },
    targets: targets.map(({ name }) => name),
    rows,
    warnings,
  }
}

async function planned(
  resolved: readonly ResolvedConfig[],
  subject: Omit<PlanSubject, 'config'>,
  options: Checked,
  before: number,
  targets: number,
): Promise<PlanRow[]> {
  const total = resolved.length * targets
  const { largestBatch, signal } = options
  const rows: PlanRow[] = []
  // The largest batches within both limits are looked for side by side where a try takes no memory: of a card.
  const processes = largestBatch === false || subject.target.card === undefined ? 1 : 2
  await withRunners(subject.target, processes, signal, async ([runner, beside]) => {
    for (const config of resolved) {
      const done = before + rows.length
      const tell = (tried: number) => {
        const { name } = subject.target
        options.onProgress?.({ spec: config.spec.text, target: name, tried, done, total })
      }
      tell(0)
      const own = { ...definedOf({ largestBatch, signal }), beside, tell }
      rows.push(await planRow(runner, { ...subject, config }, own))
    }
  })
  return rows
}

function searched(subject: SearchSubject, { signal, onProgress }: Checked): Promise<PlanRow[]> {
  return search(subject, {
    signal,
    onTried: ({ spec, done, total }) =>
      onProgress?.({ spec, target: subject.target.name, tried: done, done, total }),
  })
}

type Checked = PlanOptions & { readonly limitBytes?: number }

function checkOptions(given: PlanOptions): Checked {
  checkKeys(given, 'options', KEYS)
  // Read once.
  const options = { ...given }
  const { gpus, runs, classes, memoryLimit, signal, onProgress } = options
  for (const [name, list] of Object.entries({ gpus, runs })) {
    const isList = Array.isArray(list) && list.every((one) => typeof one === 'string')
    if (list === undefined || (isList && list.length > 0)) continue
    throw new LocalformerError('ERR_CONFIG', expected('a list of names, not empty,', name, list))
  }
  if (classes !== undefined && !(Number.isInteger(classes) && classes >= 1 && classes <= 100_000)) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('a whole number from 1 to 100000', 'classes', classes),
    )
  }
  const { search: parts, largestBatch: looks } = options
  if (looks !== undefined && typeof looks !== 'boolean') {
    throw new LocalformerError('ERR_CONFIG', expected('true or false', 'largestBatch', looks))
  }
  // Their values are checked as those of a run spec.
  if (parts !== undefined) parseRunSpec(changeRun('paper', checkParts(parts)))
  if (parts !== undefined && runs !== undefined) {
    throw new LocalformerError('ERR_CONFIG', '`search` and `runs` contradict each other')
  }
  checkSignal(signal)
  if (onProgress !== undefined) checkCallback(onProgress, 'onProgress')
  if (memoryLimit === undefined) return options
  return { ...options, limitBytes: bytesOfLimit(memoryLimit) }
}

/** @throws {LocalformerError} `ERR_CONFIG` for what are no parts of a run spec. */
function checkParts(parts: unknown): RunParts {
  const isMapping = typeof parts === 'object' && parts !== null && !Array.isArray(parts)
  const own = isMapping ? { ...(parts as RunParts) } : {}
  const wrong = Object.entries(own).find(([, value]) => typeof value !== 'string')
  if (isMapping && wrong === undefined) return own
  const what = "parts of a run spec as text, such as { method: 'paper' },"
  throw new LocalformerError('ERR_CONFIG', expected(what, 'search', parts))
}

function resolvedOf(
  config: TrainingConfigInput | ResolvedConfig,
  runs: readonly string[] | undefined,
): ResolvedConfig[] {
  if (isA(config, ResolvedConfig)) {
    return runs === undefined
      ? [config]
      : runs.map((run) => resolveInput({ ...config.config, run }))
  }
  return (runs ?? [undefined]).map((run) =>
    resolveInput(run === undefined ? config : { ...config, run }),
  )
}

function targetsOf({ gpus, limitBytes }: Checked): PlanTarget[] {
  if (gpus === undefined) return [cpuTarget(limitBytes)]
  return gpus.map((gpu) => gpuTarget(gpu, limitBytes))
}

function warningsOf({ card, name }: PlanTarget, rows: readonly PlanRow[]): string[] {
  if (card === undefined) return []
  const own = rows.filter(({ target }) => target === name)
  const warnings: string[] = []
  if (!card.hasBfloat16 && own.some(({ spec }) => spec.includes('dtype=bfloat16'))) {
    warnings.push(
      `${name} has no native bfloat16 (compute capability ${card.major}.${card.minor}, it begins with 8.0): ` +
        'such a run may be far slower there than float32, or not run.',
    )
  }
  if (own.some(({ isLowerBound }) => isLowerBound)) {
    warnings.push(
      `Decoders conv and infopro call cuDNN, whose workspaces are not known: on ${name} they take at least so much.`,
    )
  }
  return warnings
}

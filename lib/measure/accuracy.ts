// The paper's accuracy table (arXiv 2212.14215), measured again: what is trained, by which budget,
// and what the outcomes come to beside the quoted figures. Plain data; cells.ts runs it.
import { expected, LocalformerError } from '../base/errors.js'
import { findDataset } from '../datasets/open.js'
import { type DecoderKind, type Dtype, METHODS, type Method } from '../local/words.js'

/** How much of the full recipe is trained. */
export interface Budget {
  readonly epochs: number
  /** The first so many training images; null: all. */
  readonly trainLimit: number | null
  readonly batchSize: number
  /** Share of the steps in which the learning rate rises. */
  readonly warmup: number
  readonly dtype: Dtype
  readonly datasets: readonly string[]
}

/**
 * `full`: TRGL's recipe (arXiv 2309.17357), 300 epochs with 20 of warm-up, batches of 1,024. The
 * others are ours: `gpu-hour` a third of the epochs, not measured yet; `cpu-hour` 30 epochs on 5,000
 * images, the seven runs of its table in about an hour on two cores that have bfloat16 instructions.
 * The learning rate is 1e-3 in all, ours too.
 */
export const BUDGETS = {
  full: {
    ...{ epochs: 300, trainLimit: null, batchSize: 1024, warmup: 20 / 300, dtype: 'float32' },
    datasets: ['stl10', 'cifar10', 'cifar100', 'svhn'],
  },
  'gpu-hour': {
    ...{ epochs: 100, trainLimit: null, batchSize: 512, warmup: 0.05, dtype: 'bfloat16' },
    datasets: ['stl10', 'cifar10', 'cifar100'],
  },
  'cpu-hour': {
    ...{ epochs: 30, trainLimit: 5_000, batchSize: 128, warmup: 0.05, dtype: 'bfloat16' },
    datasets: ['cifar10'],
  },
} as const satisfies Readonly<Record<string, Budget>>

export type BudgetName = keyof typeof BUDGETS

/** Number of modules of every local method, as in the quoted table. */
const MODULES = 4

/** In the order of the table. */
export const ACCURACY_METHODS = ['backprop', 'infopro', 'paper', 'greedy', 'trgl'] as const

/** What is the same in every cell, as `localformer train` takes it. */
export interface AccuracySettings extends Omit<Budget, 'datasets'> {
  readonly variant: string
  /** Side in pixels; null: that of the data set's images. */
  readonly imageSize: number | null
  readonly learningRate: number
  readonly weightDecay: number
  readonly labelSmoothing: number
  readonly dropPath: number
  readonly cropPadding: number
  /** The first so many test images; null: all. */
  readonly testLimit: number | null
}

/** One training. */
export interface Cell {
  readonly dataset: string
  /** A run spec. */
  readonly run: string
  readonly method: Method
  readonly seed: number
}

export interface AccuracyPlan {
  readonly budget: BudgetName
  readonly settings: AccuracySettings
  readonly cells: readonly Cell[]
}

export interface PlanOptions {
  readonly budget?: BudgetName
  /** Default: the budget's. */
  readonly datasets?: readonly string[]
  /** Default: {@link ACCURACY_METHODS}. */
  readonly methods?: readonly string[]
  /** Of the method `paper`; default: all. */
  readonly decoders?: readonly string[]
  /** Number of seeds, from 0; default 1. */
  readonly seeds?: number
  /** What differs from the budget. */
  readonly settings?: Partial<AccuracySettings>
}

/**
 * Every training that the table needs: first all runs with the first seed, then with the next.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for an unknown word or a wrong number.
 */
export function planAccuracy(options: PlanOptions = {}): AccuracyPlan {
  const { budget = 'cpu-hour', seeds = 1 } = options
  const methods = words('methods', options.methods ?? ACCURACY_METHODS, METHODS)
  const decoders = words('decoders', options.decoders ?? PAPER_DECODERS, PAPER_DECODERS)
  const { datasets: usual, ...amounts } = BUDGETS[budget]
  const settings: AccuracySettings = {
    ...amounts,
    ...{ variant: 'tiny', imageSize: null, learningRate: 1e-3, weightDecay: 0.05 },
    ...{ labelSmoothing: 0.1, dropPath: 0.1, cropPadding: 4, testLimit: null },
    ...options.settings,
  }
  if (!Number.isInteger(seeds) || seeds < 1 || seeds > 100) {
    throw new LocalformerError('ERR_CONFIG', expected('from 1 to 100', 'seeds', seeds))
  }
  const runs = methods.flatMap((method): { method: Method; run: string }[] => {
    const dtype = settings.dtype === 'float32' ? '' : `,dtype=${settings.dtype}`
    if (method === 'backprop') return [{ method, run: `backprop${dtype}` }]
    if (method !== 'paper') return [{ method, run: `${method}:${MODULES}${dtype}` }]
    return decoders.map((decoder) => ({
      method,
      run: `paper:${MODULES},decoder=${decoder}${dtype}`,
    }))
  })
  const datasets = [...new Set(options.datasets ?? usual)]
  const cells = Array.from({ length: seeds }, (_, seed) =>
    datasets.flatMap((dataset) => runs.map((run): Cell => ({ dataset, ...run, seed }))),
  ).flat()
  return { budget, settings, cells }
}

/** Which three decoders the paper tried is not known: these are the usual ones. */
const PAPER_DECODERS = ['linear', 'conv', 'transformer'] as const satisfies readonly DecoderKind[]

function words<T extends string>(name: string, given: readonly string[], allowed: readonly T[]) {
  const unknown = given.find((word) => !allowed.includes(word as T))
  if (unknown !== undefined || given.length === 0) {
    const what = `some of ${allowed.join(', ')}`
    throw new LocalformerError('ERR_CONFIG', expected(what, name, unknown))
  }
  return [...new Set(given)] as T[]
}

/** Side in pixels at which a data set is trained on. */
export function imageSizeOf(dataset: string, { imageSize }: AccuracySettings): number {
  return imageSize ?? findDataset(dataset).imageSize
}

/** How a cell ended. */
export interface CellOutcome extends Cell {
  readonly directory: string
  readonly status: 'ok' | 'failed'
  /** Of the final classifier at the end of training; null where it failed. */
  readonly accuracy: number | null
  /** Test images. */
  readonly count: number | null
  readonly error: { readonly code: string | null; readonly message: string } | null
}

export interface AccuracyRow {
  readonly dataset: string
  readonly run: string
  readonly method: Method
  /** Mean over the seeds that ended well, in [0, 1]; null where none did. */
  readonly accuracy: number | null
  /** Standard deviation over the seeds (divided by n - 1); null for fewer than two. */
  readonly spread: number | null
  /** Seeds that ended well. */
  readonly seeds: number
  readonly outcomes: readonly CellOutcome[]
  /** In [0, 1], from the table of arXiv 2309.17357; null where it has none. */
  readonly quoted: number | null
}

/** One row for each data set and run, in the order of the plan. */
export function rowsOf({ settings }: AccuracyPlan, outcomes: readonly CellOutcome[]) {
  const groups = new Map<string, CellOutcome[]>()
  for (const outcome of outcomes) {
    const key = `${outcome.dataset} ${outcome.run}`
    groups.set(key, [...(groups.get(key) ?? []), outcome])
  }
  return [...groups.values()].map((group): AccuracyRow => {
    const { dataset, run, method } = group[0] as CellOutcome
    const values = group.flatMap(({ accuracy }) => (accuracy === null ? [] : [accuracy]))
    const quoted = settings.variant === 'tiny' ? (QUOTED[dataset]?.[method] ?? null) : null
    const accuracy = values.length === 0 ? null : meanOf(values)
    const spread = accuracy === null || values.length < 2 ? null : deviationOf(values, accuracy)
    return { dataset, run, method, accuracy, spread, seeds: values.length, outcomes: group, quoted }
  })
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function deviationOf(values: readonly number[], mean: number): number {
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return Math.sqrt(squares / (values.length - 1))
}

/**
 * Top-1 accuracy of Swin-Tiny from scratch, K=4: the paper's Table 3 as Table 4 of arXiv 2309.17357
 * quotes it; `greedy` (its VanGL) and `trgl` are that group's own runs.
 */
export const QUOTED: Readonly<Record<string, Readonly<Partial<Record<Method, number>>>>> = {
  stl10: { backprop: 0.7219, infopro: 0.6461, paper: 0.6689, greedy: 0.67, trgl: 0.6792 },
  cifar10: { backprop: 0.9137, infopro: 0.8338, paper: 0.8628, greedy: 0.8394, trgl: 0.8648 },
  cifar100: { backprop: 0.7503, infopro: 0.6836, paper: 0.73, greedy: 0.6934, trgl: 0.7411 },
}

/** The paper's abstract: accuracy over InfoPro-Transformer, as "up to". */
export const ABSTRACT_GAP = 0.0058

/** The best of the paper's decoders against InfoPro, on one data set. */
export interface GapClaim {
  readonly dataset: string
  readonly run: string
  /** Runs of the paper, each with its decoder, of which `run` is the one with the highest test accuracy. */
  readonly bestOf: number
  readonly against: string
  /** Difference of the accuracies; null where one of them failed. */
  readonly measured: number | null
  /** The same difference in the quoted table; null where it has none. */
  readonly quoted: number | null
}

/** A claim for every data set that has both methods. */
export function gapsOf(rows: readonly AccuracyRow[]): GapClaim[] {
  return [...new Set(rows.map(({ dataset }) => dataset))].flatMap((dataset) => {
    const own = rows.filter((row) => row.dataset === dataset)
    const rival = own.find(({ method }) => method === 'infopro')
    const papers = own.filter(({ method }) => method === 'paper')
    const [best] = papers.toSorted((a, b) => (b.accuracy ?? -1) - (a.accuracy ?? -1))
    if (rival === undefined || best === undefined) return []
    const difference = (a: number | null, b: number | null) =>
      a === null || b === null ? null : a - b
    return [
      {
        ...{ dataset, run: best.run, against: rival.run },
        bestOf: papers.filter(({ accuracy }) => accuracy !== null).length,
        measured: difference(best.accuracy, rival.accuracy),
        quoted: difference(best.quoted, rival.quoted),
      },
    ]
  })
}

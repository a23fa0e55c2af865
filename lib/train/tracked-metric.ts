// The figure of an epoch by which a run is judged: named as its column in metrics.csv.
import { expected, LocalformerError } from '../base/errors.js'
import type { Evaluation } from '../evaluate/evaluate.js'
import { EVALUATION_METRICS } from '../metrics/evaluation-metrics.js'
import { type MetricTable, type PossibleFigures, rowsOf } from '../metrics/metric.js'
import { MODULE_METRICS, type ModuleMeans } from '../metrics/module-metrics.js'

/** What is known when an epoch is over; `evaluation`: null where none was due. */
export interface EpochFigures {
  readonly modules: readonly ModuleMeans[]
  readonly evaluation: Evaluation | null
}

export interface TrackedMetric {
  readonly name: string
  readonly isHigherBetter: boolean
  /** Does it need an evaluation on the test images? */
  readonly isOfTest: boolean
  /** Null where the epoch has no such figure. */
  valueOf(figures: EpochFigures): number | null
}

type Source = Omit<TrackedMetric, 'name'>

/** By which a run can be judged, by the name of their column. */
const OF_RUN = sourcesOf(EVALUATION_METRICS, true, ({ evaluation }) => evaluation)

const ofModule = (k: number): Readonly<Record<string, Source>> => ({
  ...sourcesOf(EVALUATION_METRICS, true, ({ evaluation }) => evaluation?.modules[k]),
  ...sourcesOf(MODULE_METRICS, false, ({ modules }) => modules[k]),
})

function sourcesOf<T extends MetricTable>(
  table: T,
  isOfTest: boolean,
  read: (figures: EpochFigures) => PossibleFigures<T> | null | undefined,
): Readonly<Record<string, Source>> {
  const entries = rowsOf(table)
    .filter(([, { better }]) => better !== undefined)
    .map(([field, { name, better }]): [string, Source] => [
      name,
      {
        ...{ isHigherBetter: better === 'higher', isOfTest },
        valueOf: (figures) => read(figures)?.[field] ?? null,
      },
    ])
  return Object.fromEntries(entries)
}

/**
 * @throws {LocalformerError} `ERR_CONFIG` that names those of a run with so many modules.
 */
export function trackedMetric(name: string, modules: number): TrackedMetric {
  const [, number, part] = /^module_(\d+)_(.+)$/.exec(name) ?? []
  const k = Number(number) - 1
  const source =
    number === undefined ? entry(OF_RUN, name) : k < modules ? entry(ofModule(k), part) : undefined
  if (source !== undefined) return { name, ...source }
  const names = [
    ...Object.keys(OF_RUN),
    ...Object.keys(ofModule(0)).map((own) => `module_K_${own}`),
  ]
  const what = `one of ${names.join(', ')} with K from 1 to ${modules}`
  throw new LocalformerError('ERR_CONFIG', expected(what, 'best', name))
}

function entry(sources: Readonly<Record<string, Source>>, name = ''): Source | undefined {
  return Object.hasOwn(sources, name) ? sources[name] : undefined
}

/** Is a value better than the best so far? What is no number never is. */
export function isBetter(
  metric: TrackedMetric,
  value: number | null,
  best: number | null,
): boolean {
  if (value === null || !Number.isFinite(value)) return false
  if (best === null) return true
  return metric.isHigherBetter ? value > best : value < best
}

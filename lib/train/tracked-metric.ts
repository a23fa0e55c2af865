// The figure of an epoch by which a run is judged: named as its column in metrics.csv.
import { expected, LocalformerError } from '../base/errors.js'
import type { Evaluation } from '../evaluate/evaluate.js'
import type { EpochSums } from './training-state.js'

/** What is known when an epoch is over; `evaluation`: null where none was due. */
export interface EpochFigures {
  readonly modules: EpochSums['sums']
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

const OF_RUN: Readonly<Record<string, Source>> = {
  test_accuracy: ofTest(true, ({ evaluation }) => evaluation?.accuracy),
  test_loss: ofTest(false, ({ evaluation }) => evaluation?.loss),
}

const ofModule = (k: number): Readonly<Record<string, Source>> => ({
  test_accuracy: ofTest(true, ({ evaluation }) => evaluation?.modules[k]?.accuracy),
  test_loss: ofTest(false, ({ evaluation }) => evaluation?.modules[k]?.loss),
  accuracy: ofTraining(true, ({ modules }) => modules[k]?.accuracy),
  label_loss: ofTraining(false, ({ modules }) => modules[k]?.labelLoss),
  reconstruction_loss: ofTraining(false, ({ modules }) => modules[k]?.reconstructionLoss),
})

function ofTest(
  isHigherBetter: boolean,
  read: (figures: EpochFigures) => number | null | undefined,
): Source {
  return { isHigherBetter, isOfTest: true, valueOf: (figures) => read(figures) ?? null }
}

function ofTraining(
  isHigherBetter: boolean,
  read: (figures: EpochFigures) => number | null | undefined,
): Source {
  return { isHigherBetter, isOfTest: false, valueOf: (figures) => read(figures) ?? null }
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

// The numbers of an event of training, each with its metric: what every logger writes.
import { EVALUATION_METRICS } from '../metrics/evaluation-metrics.js'
import { type Metric, type MetricTable, type PossibleFigures, rowsOf } from '../metrics/metric.js'
import { MODULE_METRICS } from '../metrics/module-metrics.js'
import { STEP_METRICS } from '../metrics/step-metrics.js'
import type { RunEvent } from '../train/events.js'

export interface Figure {
  readonly metric: Metric
  /** Index of the module that it is told of; undefined: of the whole. */
  readonly module: number | undefined
  readonly value: number
}

/** Without those that are null; of a step and of an evaluation, none of other events. */
export function figuresOf(event: RunEvent): Figure[] {
  if (event.type === 'step') return withModules(event, STEP_METRICS, MODULE_METRICS)
  if (event.type === 'evaluation') return withModules(event, EVALUATION_METRICS, EVALUATION_METRICS)
  return []
}

function withModules<T extends MetricTable, M extends MetricTable>(
  event: PossibleFigures<T> & { readonly modules: readonly PossibleFigures<M>[] },
  whole: T,
  ofModules: M,
): Figure[] {
  const modules = event.modules.flatMap((module, k) => valuesOf(ofModules, module, k))
  return [...valuesOf(whole, event, undefined), ...modules]
}

function valuesOf<T extends MetricTable>(
  table: T,
  values: PossibleFigures<T>,
  module: number | undefined,
): Figure[] {
  return rowsOf(table).flatMap(([field, metric]) => {
    const value = values[field]
    return value === null ? [] : [{ metric, module, value }]
  })
}

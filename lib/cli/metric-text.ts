// Metrics on the console: each by its word and in its format, those that are null not at all.
import {
  formatMetric,
  type Metric,
  type MetricTable,
  type PossibleFigures,
  rowsOf,
} from '../metrics/metric.js'
import { MODULE_METRICS, type ModuleMetricName } from '../metrics/module-metrics.js'

/** `acc 25.0 %` */
export function said(metric: Metric, value: number): string {
  return `${metric.word ?? metric.title} ${formatMetric(metric, value)}`.trim()
}

/** A module's losses as they stand in a line, `2.250+0.500`. */
export function lossText(figures: PossibleFigures<typeof MODULE_METRICS>): string {
  return LOSSES.flatMap((name) => {
    const value = figures[name]
    return value === null ? [] : [formatMetric(MODULE_METRICS[name], value)]
  }).join('+')
}

/** The parts of what a module minimises, before weighting. */
export const LOSSES: readonly ModuleMetricName[] = rowsOf(MODULE_METRICS).flatMap(
  ([name, metric]) => ('word' in metric && metric.word === 'loss' ? [name] : []),
)

/** Each metric of a table that has a word; those of one word together, `loss 2.250+0.500, acc 12.5 %`. */
export function wordsOf<T extends MetricTable>(table: T, figures: PossibleFigures<T>): string {
  const parts = new Map<string, string[]>()
  for (const [name, metric] of rowsOf(table)) {
    const value = figures[name]
    if (metric.word === undefined || value === null) continue
    parts.set(metric.word, [...(parts.get(metric.word) ?? []), formatMetric(metric, value)])
  }
  return [...parts].map(([word, values]) => `${word} ${values.join('+')}`).join(', ')
}

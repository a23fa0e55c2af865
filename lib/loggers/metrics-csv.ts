// metrics.csv: a line a step and one an evaluation, in columns that a run never changes; RFC 4180.
// Events of training -> text. What a line does not tell is empty.
import { EVALUATION_METRICS } from '../metrics/evaluation-metrics.js'
import { type Metric, type MetricTable, rowsOf } from '../metrics/metric.js'
import { MODULE_METRICS } from '../metrics/module-metrics.js'
import { STEP_METRICS } from '../metrics/step-metrics.js'
import type { RunEvent } from '../train/events.js'
import { figuresOf } from './figures.js'

/** Where in the run a line is; modules count from 1, the active one is of a sequential run. */
const PLACE = ['step', 'epoch', 'active_module'] as const

/** The columns of a run with so many modules: `module_1_label_loss` and so on. */
export function metricsColumns(modules: number): string[] {
  const whole = metricsOf(STEP_METRICS, EVALUATION_METRICS)
  const own = metricsOf(MODULE_METRICS, EVALUATION_METRICS)
  return [
    ...PLACE,
    ...whole.map((metric) => columnOf(metric, undefined)),
    ...Array.from({ length: modules }, (_, k) => own.map((metric) => columnOf(metric, k))).flat(),
  ]
}

function metricsOf(...tables: readonly MetricTable[]): Metric[] {
  return tables.flatMap((table) => rowsOf(table).map(([, metric]) => metric))
}

function columnOf({ name }: Metric, module: number | undefined): string {
  return module === undefined ? name : `module_${module + 1}_${name}`
}

/** The first line. */
export function metricsHeader(modules: number): string {
  return `${metricsColumns(modules).join(',')}\r\n`
}

/** The line of an event; empty for one that has none. `step`: how many are done. */
export function metricsLine(event: RunEvent, modules: number, step: number): string {
  if (event.type !== 'step' && event.type !== 'evaluation') return ''
  const active = event.type === 'step' ? event.activeModule : null
  const row = new Map<string, number>([
    ['step', step],
    ['epoch', event.epoch],
    ...(active === null ? [] : [['active_module', active + 1] as const]),
    ...figuresOf(event).map(
      ({ metric, module, value }) => [columnOf(metric, module), value] as const,
    ),
  ])
  return `${metricsColumns(modules)
    .map((name) => row.get(name) ?? '')
    .join(',')}\r\n`
}

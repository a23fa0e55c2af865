// What the metrics of each module come to over several steps, as their rows say. A step in which one
// is null is none of its steps. Plain values throughout, fit for JSON: a checkpoint has them.
import { type ModuleMetric, rowsOf } from './metric.js'
import { MODULE_METRICS, type ModuleMeans, type ModuleMetricName } from './module-metrics.js'

/** The steps so far: their sum, or the highest of them. */
export interface Tally {
  readonly value: number
  /** Steps that had a value. */
  readonly count: number
}

/** By module, from the first; null where no step had a value. */
export type EpochSums = readonly Readonly<Record<ModuleMetricName, Tally | null>>[]

const OVER: Readonly<
  Record<
    ModuleMetric['over'],
    {
      readonly join: (before: number, value: number) => number
      readonly end: (tally: Tally) => number
    }
  >
> = {
  mean: { join: (before, value) => before + value, end: ({ value, count }) => value / count },
  max: { join: Math.max, end: ({ value }) => value },
}

/** With one more step, of the modules that ran. */
export function withStep(sums: EpochSums, modules: readonly ModuleMeans[]): EpochSums {
  const count = Math.max(sums.length, modules.length)
  return Array.from({ length: count }, (_, k) =>
    ofEach((name, { over }) => {
      const [before, value] = [sums[k]?.[name] ?? null, modules[k]?.[name] ?? null]
      if (value === null) return before
      if (before === null) return { value, count: 1 }
      return { value: OVER[over].join(before.value, value), count: before.count + 1 }
    }),
  )
}

export function meansOf(sums: EpochSums): ModuleMeans[] {
  return sums.map((module) => {
    const means = ofEach((name, { over }) => {
      const tally = module[name] ?? null
      return tally === null ? null : OVER[over].end(tally)
    })
    return means as ModuleMeans
  })
}

function ofEach<T>(of: (name: ModuleMetricName, metric: ModuleMetric) => T) {
  const entries = rowsOf(MODULE_METRICS).map(([name, metric]) => [name, of(name, metric)])
  return Object.fromEntries(entries) as Readonly<Record<ModuleMetricName, T>>
}

// Metrics of the tables as charts: whichever the run has, in the section that their row names.
import {
  type ChartSection,
  formatMetric,
  type Metric,
  type MetricTable,
  rowsOf,
} from '../metrics/metric.js'
import { type ChartSeries, lineChart } from './chart.js'
import type { Bucket } from './series.js'

export interface MetricCharts<T extends MetricTable> {
  readonly table: T
  readonly section: ChartSection
  /** Behind a metric's title, e.g. ` of every module`. */
  readonly of?: string
  readonly xLabel: 'step' | 'epoch'
  /** The lines of a metric; values in its own unit. */
  readonly series: (name: keyof T & string) => readonly ChartSeries[]
}

/** A chart for each metric of the section; '' for those of which nothing is told. */
export function metricCharts<T extends MetricTable>(charts: MetricCharts<T>): string[] {
  const { table, section, of = '', xLabel, series } = charts
  return rowsOf(table)
    .filter(([, { chart }]) => chart?.section === section)
    .map(([name, metric]) =>
      lineChart({
        title: `${titleOf(metric)}${of}`,
        xLabel,
        ...axisOf(metric),
        series: series(name).map((one) => ({ ...one, buckets: inUnit(metric, one.buckets) })),
        zero: metric.chart?.fromZero ?? false,
        // Epochs are few.
        marks: xLabel === 'epoch',
      }),
    )
}

function titleOf({ title }: Metric): string {
  return `${title.charAt(0).toUpperCase()}${title.slice(1)}`
}

/** Numbers with as many digits as the axis needs, but where they read otherwise in tables too. */
function axisOf(metric: Metric) {
  const { unit, format } = metric
  if (format === 'share') return { yLabel: `${unit}, %` }
  if (format !== 'bytes' && format !== 'rate') return { yLabel: unit }
  return { yLabel: unit, format: (value: number) => formatMetric(metric, value) }
}

/** Shares are drawn in per cent. */
function inUnit({ format }: Metric, buckets: readonly Bucket[]): readonly Bucket[] {
  if (format !== 'share') return buckets
  return buckets.map((bucket) => {
    const { min, max, mean } = bucket
    return { ...bucket, min: min * 100, max: max * 100, mean: mean * 100 }
  })
}

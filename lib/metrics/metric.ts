// What a metric is: a row of a table that says everything of one number that training tells. CSV,
// TensorBoard, the report, the console and comparisons walk the tables; none of them names a metric
// that it does not treat in a way of its own.
import { formatBytes } from '../base/format.js'

export interface Metric {
  /** In files: metrics.csv's columns, TensorBoard's tags. */
  readonly name: string
  /** In words, for charts and tables. */
  readonly title: string
  /** What is counted, as the axis of a chart says it. */
  readonly unit: string
  readonly format: keyof typeof FORMATS
  readonly given: Given
  /** Which way it should go, where a run can be judged by it. */
  readonly better?: 'higher' | 'lower'
  /** Where the report draws it over the steps or epochs; else it stands in a table alone. */
  readonly chart?: { readonly section: ChartSection; readonly fromZero: boolean }
  /** The word before it on the console, the same for numbers that are parts of one; else not shown. */
  readonly word?: string
}

/** Of a module's step, with what stands for all the steps of an epoch. */
export interface ModuleMetric extends Metric {
  readonly over: 'mean' | 'max'
}

/**
 * When there is such a number; otherwise it is null, and 0 is a value like others. `learning`: not of
 * a module that only passes features on. `sometimes`: nor where it was not asked for, or cannot be.
 */
export type Given = 'always' | 'learning' | 'sometimes'

/** Sections of the report that have charts of metrics. */
export type ChartSection = 'accuracy' | 'losses' | 'further' | 'speed'

export type MetricTable = Readonly<Record<string, Metric>>

/** A number for each metric of a table, of a module that learns or not, where that matters. */
export type Figures<T extends MetricTable, Learns extends boolean = true> = {
  readonly [K in keyof T]: Value<T[K]['given'], Learns>
}

type Value<G extends Given, Learns extends boolean> = G extends 'always'
  ? number
  : Learns extends true
    ? G extends 'learning'
      ? number
      : number | null
    : null

/** As those see them who walk a table: any may be null. */
export type PossibleFigures<T extends MetricTable> = { readonly [K in keyof T]: number | null }

const FORMATS = {
  number: (value: number, more: number) => value.toFixed(3 + more),
  share: (value: number, more: number) => `${(value * 100).toFixed(1 + more)} %`,
  bytes: formatBytes,
  seconds: (value: number) => `${value.toFixed(3)} s`,
  speed: (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} images/s`,
  rate: (value: number) => (value === 0 ? '0' : value.toExponential(1)),
} as const

/** Stands for a value that there is not. */
export const NONE = '–'

/** A value as text and tables show it; `more` digits where a number is the result itself. */
export function formatMetric(
  { format }: Metric,
  value: number | null | undefined,
  more = 0,
): string {
  return typeof value === 'number' && Number.isFinite(value) ? FORMATS[format](value, more) : NONE
}

/** The metrics of a table with the names of their fields. */
export function rowsOf<T extends MetricTable>(table: T): [keyof T & string, T[keyof T]][] {
  return Object.entries(table) as [keyof T & string, T[keyof T]][]
}

// An evaluation as text for a terminal, and its confusion matrix as CSV.
import { csvLine } from '../base/csv.js'
import { LocalformerError } from '../base/errors.js'
import type { DetailedEvaluation } from '../evaluate/evaluate.js'
import { frequentConfusions, largest } from '../evaluate/scores.js'
import { EVALUATION_METRICS } from '../metrics/evaluation-metrics.js'
import { formatMetric, rowsOf } from '../metrics/metric.js'
import { formatTable } from './table.js'

export interface EvaluationNames {
  /** Of the modules. */
  readonly heads: readonly string[]
  /** Of the classes. */
  readonly classes: readonly string[]
  /** Width of the terminal. */
  readonly columns: number
}

/** Rows of the lists that stand for a table that is too large. */
const LISTED = 10
const LONGEST_NAME = 20

/**
 * Accuracy of every head; then, where it fits, the confusion matrix and the scores of every class,
 * else the worst classes and the most frequent confusions.
 */
export function formatEvaluation(result: DetailedEvaluation, names: EvaluationNames): string {
  const matrix = matrixText(result, names)
  const fits = matrix !== undefined && Math.max(...widthsOf(matrix)) <= names.columns
  const parts = [headsText(result, names.heads)]
  if (fits) parts.push(`True class in the row, predicted one in the column:\n${matrix}`)
  parts.push(classesText(result, names.classes, fits))
  if (!fits && result.confusion !== null)
    parts.push(confusionsText(result.confusion, names.classes))
  return parts.join('\n\n')
}

function headsText({ modules }: DetailedEvaluation, heads: readonly string[]): string {
  const told = rowsOf(EVALUATION_METRICS).filter(([name]) =>
    modules.some((module) => module[name] !== null),
  )
  return formatTable(
    ['head', ...told.map(([, { word }]) => word)],
    modules.map((module, k) => [
      heads[k] ?? '',
      ...told.map(([name, metric]) => formatMetric(metric, module[name], 1)),
    ]),
  )
}

/** Columns are headed by the classes' numbers, as their names would be too wide. */
function matrixText({ confusion }: DetailedEvaluation, { classes }: EvaluationNames) {
  return confusion === null || confusion.length > 40
    ? undefined
    : formatTable(
        ['', ...confusion.map((_, label) => `${label}`)],
        confusion.map((row, label) => [className(classes, label), ...row.map((n) => `${n}`)]),
      )
}

function classesText(
  { perClass }: DetailedEvaluation,
  classes: readonly string[],
  all: boolean,
): string {
  // Classes of which there is no image have no score.
  const seen = perClass.flatMap(({ count }, label) => (count > 0 ? [label] : []))
  const badness = perClass.map(({ f1, count }) => (count > 0 ? -f1 : Number.NEGATIVE_INFINITY))
  const shown = all ? perClass.map((_, label) => label) : largest(badness, LISTED)
  const rows = shown
    .filter((label) => all || seen.includes(label))
    .map((label) => {
      const { precision, recall, f1, count } = perClass[label] as (typeof perClass)[number]
      return [className(classes, label), ...[precision, recall, f1].map(percent), `${count}`]
    })
  const table = formatTable(['class', 'precision', 'recall', 'F1', 'images'], rows)
  return all ? table : `The ${rows.length} classes with the lowest F1 of ${seen.length}:\n${table}`
}

function confusionsText(
  confusion: readonly (readonly number[])[],
  classes: readonly string[],
): string {
  const rows = frequentConfusions(confusion, LISTED).map(({ label, predicted, count }) => [
    className(classes, label),
    className(classes, predicted),
    `${count}`,
  ])
  if (rows.length === 0) return 'No class was taken for another.'
  return `Most frequent confusions:\n${formatTable(['class', 'taken for', 'images'], rows)}`
}

function className(classes: readonly string[], label: number): string {
  const name = `${label} ${classes[label] ?? ''}`.trimEnd()
  return name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME - 1)}…`
}

function widthsOf(text: string): number[] {
  return text.split('\n').map((line) => line.length)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`
}

/**
 * The whole matrix: a head row with the predicted classes, then a row for each true class.
 *
 * @throws {LocalformerError} `ERR_CONFIG` where there are more classes than a matrix is made of.
 */
export function confusionCsv(
  { confusion, perClass }: DetailedEvaluation,
  classes: readonly string[],
): string {
  if (confusion === null) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `There is no confusion matrix of ${perClass.length} classes`,
      { hint: 'Leave out --confusion; the scores of each class are in --json.' },
    )
  }
  const nameOf = (label: number) => classes[label] ?? `${label}`
  const lines = [
    ['true class', ...confusion.map((_, label) => nameOf(label))],
    ...confusion.map((row, label) => [nameOf(label), ...row]),
  ]
  return lines.map(csvLine).join('')
}

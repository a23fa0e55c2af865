// The accuracy table as text and as Markdown, and the plan of a dry run. What was quoted stands in
// a column of its own, with its source; the budget stands above the table.
import type { AccuracyPlan, AccuracyRow, BudgetName, Cell, GapClaim } from '../measure/accuracy.js'
import { ABSTRACT_GAP, imageSizeOf } from '../measure/accuracy.js'
import type { TimeEstimate } from '../measure/accuracy-time.js'
import type { CellState } from '../measure/cells.js'
import { codeSpan, escapeMarkdown, markdownTable } from './markdown.js'
import { formatTable } from './table.js'

export interface AccuracyResult {
  readonly schema: 1
  readonly what: 'accuracy'
  /** Day (UTC), `YYYY-MM-DD`. */
  readonly date: string
  /** Model of the processor, and what the network ran on. */
  readonly machine: { readonly cpu: string; readonly cores: number; readonly device: string }
  readonly budget: BudgetName
  readonly settings: AccuracyPlan['settings']
  readonly directory: string
  readonly rows: readonly AccuracyRow[]
  readonly gaps: readonly GapClaim[]
}

/** A cell of a plan with what it will take; null where that is not known. */
export interface PlannedCell extends Cell {
  readonly state: CellState
  readonly estimate: TimeEstimate | null
}

const HEAD = ['run', 'test accuracy, %', 'seeds', 'quoted, %']

export function formatAccuracy(result: AccuracyResult): string {
  const tables = datasetsOf(result).map((dataset) => {
    const rows = result.rows.filter((row) => row.dataset === dataset)
    const size = imageSizeOf(dataset, result.settings)
    return `${dataset} at ${size} px\n${formatTable(HEAD, rows.map(cellsOf))}`
  })
  const notes = legendOf(result)
  return [
    budgetSentence(result),
    machineSentence(result),
    ...tables.map((table) => `\n${table}`),
    '',
    ...failuresOf(result.rows),
    ...result.gaps.map((gap) => gapLine(gap, (name) => name)),
    ...(result.gaps.length > 0 ? [''] : []),
    ...notes,
  ].join('\n')
}

/** The same in GitHub's Markdown. */
export function markdownOfAccuracy(result: AccuracyResult): string {
  const rows = result.rows.map((row) => {
    const [run = '', ...cells] = cellsOf(row)
    const quoted = cells[2] === '' ? '' : `${cells[2]}[^quoted]`
    return [codeSpan(run), row.dataset, cells[0] ?? '', cells[1] ?? '', quoted]
  })
  const [first = '', ...others] = legendOf(result)
  const command = `Printed by \`localformer reproduce accuracy --budget ${result.budget} --markdown\``
  return [
    `${command}. ${escapeMarkdown(`${budgetSentence(result)} ${machineSentence(result)}`)}`,
    '',
    markdownTable(['run', 'data set', ...HEAD.slice(1)], rows),
    '',
    ...failuresOf(result.rows).map((line) => `- ${escapeMarkdown(line)}`),
    ...result.gaps.map((gap) => `- ${gapLine(gap, codeSpan)}`),
    '',
    first,
    ...(others.length === 0 ? [] : ['', `[^quoted]: ${others.join(' ')}`]),
  ].join('\n')
}

/** What a dry run prints. */
export function formatPlan(plan: AccuracyPlan, cells: readonly PlannedCell[]): string {
  const states = { new: 'to do', begun: 'to go on', trained: 'to evaluate', finished: 'finished' }
  const rows = cells.map(({ dataset, run, seed, state, estimate }) => [
    run,
    dataset,
    `${seed}`,
    states[state],
    estimate === null ? '' : `${estimate.imagesPerSecond.toFixed(0)}`,
    estimate === null ? '' : formatDuration(estimate.seconds),
  ])
  const head = ['run', 'data set', 'seed', 'state', 'images/s', 'expected']
  return [budgetSentence(plan), '', formatTable(head, rows), '', expectedSentence(cells)].join('\n')
}

/** How long the cells that are not finished will take, by measured step times. */
export function expectedSentence(cells: readonly PlannedCell[]): string {
  const open = cells.filter(({ state }) => state === 'new' || state === 'begun')
  const known = open.flatMap(({ estimate }) => (estimate === null ? [] : [estimate.seconds]))
  const unknown = open.length - known.length
  const total = formatDuration(known.reduce((sum, seconds) => sum + seconds, 0))
  const rest = unknown === 0 ? '' : `; of ${unknown} the step time could not be measured`
  return open.length === 0
    ? 'Every run is trained.'
    : `${open.length} runs to train, expected ${total} by two measured steps of each on this machine${rest}.`
}

/** `45 s`, `12 min`, `3 h 20 min`, `5 days`. */
export function formatDuration(seconds: number): string {
  const minutes = Math.round(seconds / 60)
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  if (minutes < 90) return `${minutes} min`
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
  return `${(minutes / 60 / 24).toFixed(1)} days`
}

function datasetsOf({ rows }: AccuracyResult): string[] {
  return [...new Set(rows.map(({ dataset }) => dataset))]
}

function budgetSentence({ budget, settings }: Pick<AccuracyPlan, 'budget' | 'settings'>): string {
  const { epochs, trainLimit, batchSize, dtype, learningRate, warmup, variant } = settings
  const images = trainLimit === null ? 'all' : `the first ${trainLimit}`
  return (
    `Budget ${budget}: Swin-${variant} from scratch, ${epochs} epochs of ${images} training images, ` +
    `batch ${batchSize}, ${dtype}, AdamW at ${learningRate}, ${(warmup * 100).toFixed(1)} % warm-up.`
  )
}

function machineSentence({ date, machine }: AccuracyResult): string {
  const { cpu, cores, device } = machine
  return `Printed on ${date} on ${cpu} (${cores} logical cores), device ${device}.`
}

function cellsOf({ run, accuracy, spread, seeds, outcomes, quoted }: AccuracyRow): string[] {
  const failed = outcomes.length - seeds
  const counts = failed === 0 ? `${seeds}` : `${seeds}, ${failed} failed`
  const own = accuracy === null ? 'failed' : percent(accuracy)
  const between = spread === null ? '' : ` ± ${percent(spread)}`
  return [run, `${own}${between}`, counts, quoted === null ? '' : percent(quoted)]
}

function failuresOf(rows: readonly AccuracyRow[]): string[] {
  return rows.flatMap(({ outcomes }) =>
    outcomes.flatMap(({ dataset, run, seed, error }) => {
      if (error === null) return []
      const code = error.code === null ? '' : ` [${error.code}]`
      return [`${run} on ${dataset}, seed ${seed}, failed: ${error.message}${code}`]
    }),
  )
}

function gapLine(
  { dataset, run, bestOf, against, measured, quoted }: GapClaim,
  name: (s: string) => string,
) {
  const reported =
    quoted === null
      ? ''
      : ` (the paper's abstract: up to ${signed(ABSTRACT_GAP)} %; the quoted table: ${signed(quoted)} points)`
  const own = measured === null ? 'not known, as one of them failed' : `${signed(measured)} points`
  // Chosen on the images that it is then judged by, which favours it.
  const chosen = bestOf < 2 ? '' : ` (the best of ${bestOf} decoders by this table)`
  return `${dataset}: ${name(run)}${chosen} over ${name(against)}: ${own}${reported}`
}

/** How to read the table; where figures are quoted, from the second sentence on where they are from. */
function legendOf({ rows, settings, budget }: AccuracyResult): string[] {
  const test = settings.testLimit === null ? 'all test images' : `${settings.testLimit} test images`
  const own =
    `test accuracy: of the final classifier at the end of training, on ${test}; mean over the seeds, ` +
    '± their standard deviation (n - 1) where there are several.'
  if (rows.every(({ quoted }) => quoted === null)) return [own]
  return [
    own,
    'quoted: Swin-Tiny from scratch, K=4, 300 epochs, from Table 4 of TRGL (arXiv 2309.17357). It quotes ' +
      'E2E, InfoPro-Transformer and the paper (arXiv 2212.14215, Table 3); greedy (VanGL) and trgl are ' +
      "that group's own runs.",
    'According to its repository, TRGL reports the maximum over epochs and over classifiers, on half of the test set.',
    "Which decoder the paper's figure is of is not known; what it calls InfoPro-Transformer is not public. " +
      'The quoted table and "up to 0.58 %" in the abstract do not agree; both are quoted.',
    ...(budget === 'full'
      ? []
      : ['Ours were trained with a smaller budget: they are no measure of the quoted figures.']),
  ]
}

function percent(share: number): string {
  return (share * 100).toFixed(2)
}

function signed(share: number): string {
  return `${share < 0 ? '-' : '+'}${percent(Math.abs(share))}`
}

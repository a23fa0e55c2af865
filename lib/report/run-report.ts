// One run as a page: summary, accuracy, losses, memory within a step, reconstructions, ranks,
// speed, configuration.
import { formatPercent } from '../base/format.js'
import { packageVersion } from '../base/version.js'
import { EVALUATION_METRICS } from '../metrics/evaluation-metrics.js'
import { type ChartSection, formatMetric, NONE, rowsOf } from '../metrics/metric.js'
import { MODULE_METRICS, type ModuleMetricName } from '../metrics/module-metrics.js'
import { STEP_METRICS } from '../metrics/step-metrics.js'
import type { EvaluationPoint } from './event-data.js'
import { escapeHtml, page, section, table } from './html.js'
import { memoryCharts } from './memory-chart.js'
import { metricCharts } from './metric-charts.js'
import { reconstructionPanels } from './panels.js'
import type { RunData } from './run-data.js'
import { formatDuration, formatNumber } from './scale.js'
import { joined, meanOf, point } from './series.js'
import { settingsOf } from './settings.js'
import { STYLE } from './style.js'

export function runReport(run: RunData): string {
  const sections = [
    ['accuracy', 'Accuracy', charts(run, 'accuracy')],
    ['losses', 'Losses', charts(run, 'losses')],
    ['further', 'Further figures', charts(run, 'further')],
    ['memory', 'Memory within a step', memory(run)],
    ['reconstruction', 'Reconstruction', reconstructionPanels(run.reconstructions)],
    ['modules', 'Modules', moduleTable(run)],
    ['ranks', 'Ranks', rankTable(run)],
    ['speed', 'Speed and learning rate', speed(run)],
    ['configuration', 'Configuration', configuration(run)],
  ] as const
  const shown = sections.filter(([, , content]) => content !== '')
  const links = shown.map(([id, title]) => `<a href="#${id}">${title}</a>`).join('')
  const body = `<main>
<header><h1><code>${escapeHtml(run.spec)}</code> on ${escapeHtml(run.dataset)}</h1>
<p class="soft"><span class="state ${run.isDone ? 'done' : 'going'}">${run.isDone ? 'finished' : 'not finished'}</span> ${escapeHtml(run.name)}</p>
<nav aria-label="Sections">${links}</nav></header>
${cards(run)}
${shown.map(([id, title, content]) => section(id, title, content)).join('\n')}
${footer()}
</main>`
  return page(`${run.spec} on ${run.dataset}`, STYLE, body)
}

export function footer(): string {
  return `<footer>Written by localformer ${escapeHtml(packageVersion())}. Lines are means over neighbouring steps, bands reach from the lowest to the highest value.</footer>`
}

/** Name, value and a remark. */
export type Card = readonly [string, string, string]

export function cardList(cards: readonly Card[]): string {
  const entries = cards.map(
    ([name, value, remark]) =>
      `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd><dd>${escapeHtml(remark)}</dd></div>`,
  )
  return `<dl class="cards">${entries.join('')}</dl>`
}

function cards(run: RunData): string {
  const last = run.evaluations.at(-1)
  const best = bestOf(run.evaluations)
  const saved = savedOf(run)
  const list: Card[] = [
    [
      'Test accuracy',
      formatMetric(EVALUATION_METRICS.accuracy, last?.accuracy),
      best ? `best ${accuracyText(best)}, epoch ${best.epoch}` : 'not evaluated',
    ],
    [
      'Peak memory',
      formatMetric(STEP_METRICS.peakAllocatedBytes, run.peakAllocatedBytes),
      saved ?? 'live tensors, highest of all steps',
    ],
    [
      'Training time',
      formatDuration(run.seconds),
      run.isDone ? 'evaluation included' : 'of the steps so far',
    ],
    ['Throughput', throughputText(run), batchText(run)],
    [
      'Steps',
      formatNumber(run.steps, 9),
      run.totalSteps !== null
        ? `of ${formatNumber(run.totalSteps, 9)}, ${run.epochs.length} ${run.epochs.length === 1 ? 'epoch' : 'epochs'}`
        : '',
    ],
  ]
  return cardList(list)
}

function batchText({ batchSize }: RunData): string {
  const batches = batchSize === undefined ? '' : `, batches of ${batchSize}`
  return `images over the time of the steps${batches}`
}

/** Images over time, of all steps with the waits for their batches, as the run's last line says it. */
export function throughputText({ series }: RunData): string {
  return formatMetric(STEP_METRICS.imagesPerSecond, meanOf(series.imagesPerSecond))
}

export function bestOf(evaluations: readonly EvaluationPoint[]): EvaluationPoint | undefined {
  return evaluations
    .filter(({ accuracy }) => accuracy !== null)
    .reduce<EvaluationPoint | undefined>(
      (best, one) => (best && (best.accuracy ?? 0) >= (one.accuracy ?? 0) ? best : one),
      undefined,
    )
}

export function accuracyText({ accuracy }: EvaluationPoint): string {
  return formatMetric(EVALUATION_METRICS.accuracy, accuracy)
}

/** What local learning saves, where both were measured. */
function savedOf({ timelines }: RunData): string | undefined {
  const [whole, own] = timelines.map(({ points }) =>
    Math.max(...points.map(({ allocatedBytes }) => allocatedBytes)),
  )
  if (whole === undefined || own === undefined) return undefined
  const share = 1 - own / whole
  return `${formatPercent(Math.abs(share))} ${share >= 0 ? 'below' : 'above'} end to end, one step`
}

/** The charts of a section: of evaluations, then of the steps. */
function charts(run: RunData, section: ChartSection): string {
  const names = moduleNames(run)
  const of = names.length > 1 ? ' of every module' : ''
  const ofTests = metricCharts({
    ...{ table: EVALUATION_METRICS, section, of, xLabel: 'epoch' },
    series: (metric) =>
      names.map((name, k) => ({
        name,
        buckets: run.evaluations.flatMap(({ epoch, modules }) => {
          const value = modules[k]?.[metric] ?? null
          return value === null ? [] : [point(epoch, value)]
        }),
      })),
  })
  const ofModules = metricCharts({
    ...{ table: MODULE_METRICS, section, of, xLabel: 'step' },
    series: (metric) =>
      names.map((name, color) => ({ name, color, buckets: run.modules[color]?.[metric] ?? [] })),
  })
  const ofSteps = metricCharts({
    ...{ table: STEP_METRICS, section, xLabel: 'step' },
    series: (metric) => [{ name: STEP_METRICS[metric].title, buckets: run.series[metric] }],
  })
  return pair(...ofTests, ...ofModules, ...ofSteps)
}

function memory(run: RunData): string {
  const charts = memoryCharts(run.timelines)
  if (charts === '') return ''
  const fresh = run.timelines.some(({ isFresh }) => isFresh)
  const text = fresh
    ? 'Each measured in a fresh process with the run’s network, batch size, recomputation and micro-batches, after a step to warm up. Dotted lines: where a module ends; dashed line: the peak.'
    : 'A step of this run, after one to warm up. Dotted lines: where a module ends; dashed line: the peak. <code>localformer report RUN --timeline</code> measures end-to-end training beside it.'
  return `<p class="soft">${text}</p>${charts}`
}

function moduleTable(run: RunData): string {
  if (run.modules.length === 0) return ''
  const last = run.evaluations.at(-1)
  const columns: readonly [title: string, cells: readonly string[]][] = [
    ...rowsOf(MODULE_METRICS).map(([name, metric]): [string, string[]] => [
      metric.title,
      run.modules.map((_, k) => formatMetric(metric, figureOf(run, k, name))),
    ]),
    [
      'relative error',
      run.modules.map((_, k) => {
        const panel = run.reconstructions?.panels.find(({ module }) => module === k)
        return formatMetric(MODULE_METRICS.reconstructionLoss, panel?.relativeError)
      }),
    ],
    ...rowsOf(EVALUATION_METRICS).map(([name, metric]): [string, string[]] => [
      metric.title,
      run.modules.map((_, k) => formatMetric(metric, last?.modules[k]?.[name])),
    ]),
    ['of step time', shares(run.modules.map(({ seconds }) => meanOf(seconds)))],
  ]
  const told = columns.filter(([, cells]) => cells.some((cell) => cell !== NONE))
  const rows = run.modules.map((_, k) => [
    `module ${k + 1}`,
    ...told.map(([, cells]) => cells[k] ?? NONE),
  ])
  const header = ['', ...told.map(([title]) => title)]
  return `<p class="soft">Losses, training accuracy and time are means over the last epoch in which the module learned; the peak is the highest while the module steps, the whole network’s weights included.</p>${table('Modules', header, rows)}`
}

/** What each of several processes took. */
function rankTable({ ranks }: RunData): string {
  if (ranks.length === 0) return ''
  const bytes = (value: number | null) => formatMetric(STEP_METRICS.peakAllocatedBytes, value)
  const rows = ranks.map((rank) => [
    ...[`rank ${rank.rank}`, rank.modules.map((name) => name.replace(/^module /, '')).join(', ')],
    ...[rank.residentBytes, rank.peakAllocatedBytes, rank.sentBytes, rank.receivedBytes].map(bytes),
    rank.waitedShare === null ? NONE : formatPercent(rank.waitedShare),
  ])
  const header = ['', 'modules', 'resident', 'peak', 'sent', 'received', 'waited']
  return `<p class="soft">Of each process that trained: bytes between steps and at the highest of a step; tensors that it sent and received, and the share of its time that it waited for others, since it joined.</p>${table('Ranks', header, rows)}`
}

/** Over the last epoch in which the module learned; of a highest value that of the run. */
function figureOf(run: RunData, k: number, name: ModuleMetricName): number | null {
  const buckets = run.modules[k]?.[name] ?? []
  if (MODULE_METRICS[name].over === 'max') {
    return buckets.length === 0 ? null : joined(buckets).max
  }
  const epochs = run.epochs.map(({ modules }) => modules[k])
  return epochs.findLast((module) => module?.labelLoss != null)?.[name] ?? null
}

function shares(values: readonly number[]): string[] {
  const sum = values.filter(Number.isFinite).reduce((a, b) => a + b, 0)
  return values.map((value) => (Number.isFinite(value) ? formatPercent(value / sum) : NONE))
}

function speed(run: RunData): string {
  const rows = rowsOf(STEP_METRICS).flatMap(([name, metric]) => {
    const buckets = run.series[name]
    if (buckets.length === 0) return []
    const { mean, min, max } = joined(buckets)
    return [[metric.title, ...[mean, min, max].map((value) => formatMetric(metric, value))]]
  })
  if (rows.length === 0) return ''
  const header = ['of a step', 'mean', 'lowest', 'highest']
  return `${charts(run, 'speed')}<p class="soft">The mean throughput is images over time.</p>${table('Steps', header, rows)}`
}

function configuration(run: RunData): string {
  const versions = settingsTable(
    'Versions and machine',
    ['versions and machine', 'value'],
    settingsOf(run.surroundings),
  )
  return settingsTable('Configuration', ['setting', 'value'], settingsOf(run.config)) + versions
}

/** A table of texts. */
export function settingsTable(label: string, header: string[], rows: string[][]): string {
  if (rows.length === 0) return ''
  return table(label, header, rows).replace('<table>', '<table class="settings">')
}

export function pair(...charts: readonly string[]): string {
  const shown = charts.filter((chart) => chart !== '')
  return shown.length === 0 ? '' : `<div class="pair">${shown.join('\n')}</div>`
}

function moduleNames(run: RunData): string[] {
  const count = Math.max(run.modules.length, run.evaluations.at(-1)?.modules.length ?? 0)
  if (count === 1) return ['network']
  return Array.from({ length: count }, (_, k) =>
    k === count - 1 ? `module ${k + 1}, classifier` : `module ${k + 1}`,
  )
}

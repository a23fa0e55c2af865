// One run as a page: summary, accuracy, losses, memory within a step, reconstructions, speed,
// configuration.
import { formatBytes, formatPercent } from '../base/format.js'
import { packageVersion } from '../base/version.js'
import { type ChartSeries, lineChart } from './chart.js'
import { escapeHtml, page, section, table } from './html.js'
import { memoryCharts } from './memory-chart.js'
import { reconstructionPanels } from './panels.js'
import type { EvaluationPoint, RunData } from './run-data.js'
import { formatDuration, formatNumber } from './scale.js'
import type { Bucket } from './series.js'
import { settingsOf } from './settings.js'
import { STYLE } from './style.js'

export function runReport(run: RunData): string {
  const sections = [
    ['accuracy', 'Accuracy', accuracy(run)],
    ['losses', 'Losses', losses(run)],
    ['memory', 'Memory within a step', memory(run)],
    ['reconstruction', 'Reconstruction', reconstructionPanels(run.reconstructions)],
    ['modules', 'Modules', moduleTable(run)],
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
      last ? formatPercent(last.accuracy) : '–',
      last && best ? `best ${formatPercent(best.accuracy)}, epoch ${best.epoch}` : 'not evaluated',
    ],
    [
      'Peak memory',
      run.peakAllocatedBytes > 0 ? formatBytes(run.peakAllocatedBytes) : '–',
      saved ?? 'live tensors, highest of all steps',
    ],
    [
      'Training time',
      formatDuration(run.seconds),
      run.isDone ? 'evaluation included' : 'of the steps so far',
    ],
    ['Throughput', `${formatNumber(meanOf(run.imagesPerSecond))} images/s`, batchText(run)],
    [
      'Steps',
      formatNumber(run.steps, 9),
      run.totalSteps > 0
        ? `of ${formatNumber(run.totalSteps, 9)}, ${run.epochs.length} ${run.epochs.length === 1 ? 'epoch' : 'epochs'}`
        : '',
    ],
  ]
  return cardList(list)
}

function batchText({ batchSize }: RunData): string {
  return batchSize === undefined ? 'mean over the steps' : `mean, batches of ${batchSize}`
}

export function bestOf(evaluations: readonly EvaluationPoint[]): EvaluationPoint | undefined {
  return evaluations.reduce<EvaluationPoint | undefined>(
    (best, one) => (best === undefined || one.accuracy > best.accuracy ? one : best),
    undefined,
  )
}

export function meanOf(buckets: readonly Bucket[]): number {
  const count = buckets.reduce((sum, bucket) => sum + bucket.count, 0)
  return buckets.reduce((sum, bucket) => sum + bucket.mean * bucket.count, 0) / count
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

/** An evaluation's value at its epoch. */
export function point(x: number, y: number): Bucket {
  return { from: x, to: x, min: y, max: y, mean: y, count: 1 }
}

function accuracy(run: RunData): string {
  const names = moduleNames(run)
  const perModule = (of: (k: number) => Bucket[]): ChartSeries[] =>
    names.map((name, k) => ({ name, buckets: of(k).filter(({ mean }) => Number.isFinite(mean)) }))
  const test = lineChart({
    title: 'Test accuracy of every module’s head',
    xLabel: 'epoch',
    yLabel: 'share of the test images, %',
    series: perModule((k) =>
      run.evaluations.map(({ epoch, modules, accuracy: own }) =>
        point(epoch, (modules[k]?.accuracy ?? (k === names.length - 1 ? own : Number.NaN)) * 100),
      ),
    ),
    marks: true,
  })
  const training = lineChart({
    title: 'Training accuracy of every module’s head',
    xLabel: 'step',
    yLabel: 'share of the batch, %',
    series: perModule((k) => (run.modules[k]?.accuracy ?? []).map(inPercent)),
    zero: true,
  })
  return pair(test, training)
}

function inPercent(bucket: Bucket): Bucket {
  const { min, max, mean } = bucket
  return { ...bucket, min: min * 100, max: max * 100, mean: mean * 100 }
}

function losses(run: RunData): string {
  const names = moduleNames(run)
  const label = lineChart({
    title: 'Label loss of every module',
    xLabel: 'step',
    yLabel: 'cross-entropy, nats',
    series: names.map((name, k) => ({ name, buckets: run.modules[k]?.labelLoss ?? [] })),
  })
  const reconstruction = lineChart({
    title: 'Reconstruction loss of every module with a decoder',
    xLabel: 'step',
    yLabel: 'R, mean over the elements',
    series: names.map((name, color) => ({
      name,
      color,
      buckets: run.modules[color]?.reconstructionLoss ?? [],
    })),
    zero: true,
  })
  return pair(label, reconstruction)
}

function memory(run: RunData): string {
  const charts = memoryCharts(run.timelines)
  if (charts === '') return ''
  const fresh = run.timelines.some(({ isFresh }) => isFresh)
  const text = fresh
    ? 'Each measured in a fresh process with the run’s network and batch size, after a step to warm up. Dotted lines: where a module ends; dashed line: the peak.'
    : 'A step of this run, after one to warm up. Dotted lines: where a module ends; dashed line: the peak. <code>localformer report RUN --timeline</code> measures end-to-end training beside it.'
  return `<p class="soft">${text}</p>${charts}`
}

function moduleTable(run: RunData): string {
  if (run.modules.length === 0) return ''
  const last = run.epochs.at(-1)
  const test = run.evaluations.at(-1)
  const seconds = run.modules.reduce((sum, { stepSeconds }) => sum + stepSeconds, 0)
  const rows = run.modules.map((module, k) => {
    const epoch = last?.modules[k]
    const error = run.reconstructions?.panels.find((panel) => panel.module === k)?.relativeError
    const head = test?.modules[k]
    return [
      `module ${k + 1}`,
      fixed(epoch?.labelLoss),
      fixed(epoch?.reconstructionLoss || undefined),
      fixed(error),
      epoch ? formatPercent(epoch.accuracy) : '–',
      head ? formatPercent(head.accuracy) : '–',
      formatBytes(module.peakAllocatedBytes),
      formatPercent(module.stepSeconds / seconds),
    ]
  })
  const header = [
    '',
    'label loss',
    'R',
    'relative error',
    'training',
    'test',
    'peak',
    'of step time',
  ]
  return `<p class="soft">Losses and training accuracy are means over the last epoch; the peak is the highest while the module steps, the whole network’s weights included.</p>${table('Modules', header, rows)}`
}

function speed(run: RunData): string {
  const throughput = lineChart({
    title: 'Throughput',
    xLabel: 'step',
    yLabel: 'images per second',
    series: [{ name: 'images/s', buckets: run.imagesPerSecond, color: 2 }],
    zero: true,
  })
  const rate = lineChart({
    title: 'Learning rate',
    xLabel: 'step',
    yLabel: 'highest of the modules, per step',
    series: [{ name: 'learning rate', buckets: run.learningRate, color: 4 }],
    format: formatRate,
    zero: true,
  })
  return pair(throughput, rate)
}

function fixed(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(3)
}

/** `0`, `8e-4`, `1.5e-3`. */
function formatRate(value: number): string {
  return value === 0 ? '0' : value.toExponential(1).replace('.0e', 'e')
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

// Several runs as one page: a table, accuracy, loss and speed in common charts, what differs.
import { EVALUATION_METRICS } from '../metrics/evaluation-metrics.js'
import { type ChartSection, formatMetric, NONE } from '../metrics/metric.js'
import { MODULE_METRICS } from '../metrics/module-metrics.js'
import { STEP_METRICS } from '../metrics/step-metrics.js'
import type { ChartSeries } from './chart.js'
import { page, section, table } from './html.js'
import { memoryCharts } from './memory-chart.js'
import { metricCharts } from './metric-charts.js'
import type { RunData } from './run-data.js'
import { accuracyText, bestOf, footer, pair, settingsTable, throughputText } from './run-report.js'
import { formatDuration, formatNumber } from './scale.js'
import { type Bucket, point } from './series.js'
import { settingsOf } from './settings.js'
import { STYLE } from './style.js'

export function comparisonReport(runs: readonly RunData[]): string {
  const names = namesOf(runs)
  const sections = [
    section('summary', 'Summary', summaryTable(runs, names)),
    section('accuracy', 'Accuracy and losses', learningCharts(runs, names)),
    section('memory', 'Memory within a step', memory(runs, names)),
    section('speed', 'Speed', speedCharts(runs, names)),
    section('differences', 'Differences in the configuration', differences(runs, names)),
  ]
  const body = `<main>
<header><h1>${runs.length} runs compared</h1></header>
${sections.join('\n')}
${footer()}
</main>`
  return page(`${runs.length} runs compared`, STYLE, body)
}

/** The specs, with the folder's name where two are the same. */
function namesOf(runs: readonly RunData[]): string[] {
  const isUnique = (name: string) => runs.filter(({ spec }) => spec === name).length === 1
  return runs.map(({ spec, name }) => (isUnique(spec) ? spec : `${spec} (${name})`))
}

function summaryTable(runs: readonly RunData[], names: readonly string[]): string {
  const isShared = runs.some(({ ranks }) => ranks.length > 0)
  const rows = runs.map((run, i) => {
    const last = run.evaluations.at(-1)
    const best = bestOf(run.evaluations)
    return [
      names[i] ?? '',
      run.dataset,
      ...(isShared ? [`${Math.max(1, run.ranks.length)}`] : []),
      last ? accuracyText(last) : NONE,
      best ? `${accuracyText(best)} (epoch ${best.epoch})` : NONE,
      formatMetric(STEP_METRICS.peakAllocatedBytes, run.peakAllocatedBytes),
      formatDuration(run.seconds),
      throughputText(run),
      `${formatNumber(run.steps, 9)} of ${formatNumber(run.totalSteps ?? Number.NaN, 9)}`,
    ]
  })
  const header = [
    ...['run', 'data', ...(isShared ? ['ranks'] : [])],
    ...['test accuracy', 'best', 'peak', 'time', 'throughput', 'steps'],
  ]
  return table('Summary', header, rows)
}

/** A line a run, in its own colour in all charts. */
function linesOf(
  runs: readonly RunData[],
  names: readonly string[],
  bucketsOf: (run: RunData) => readonly Bucket[],
): ChartSeries[] {
  return runs.map((run, i) => ({ name: names[i] ?? '', color: i, buckets: bucketsOf(run) }))
}

function learningCharts(runs: readonly RunData[], names: readonly string[]): string {
  const sections: readonly ChartSection[] = ['accuracy', 'losses', 'further']
  const charts = sections.flatMap((section) => [
    ...metricCharts({
      ...{ table: EVALUATION_METRICS, section, of: ' of the classifier', xLabel: 'epoch' },
      series: (metric) =>
        linesOf(runs, names, ({ evaluations }) =>
          evaluations.flatMap(({ epoch, [metric]: value }) =>
            value === null ? [] : [point(epoch, value)],
          ),
        ),
    }),
    ...metricCharts({
      ...{ table: MODULE_METRICS, section, of: ' of the last module', xLabel: 'step' },
      series: (metric) => linesOf(runs, names, ({ modules }) => modules.at(-1)?.[metric] ?? []),
    }),
  ])
  return pair(...charts)
}

/** The step of each run itself; one that was measured end to end stands with its run. */
function memory(runs: readonly RunData[], names: readonly string[]): string {
  const timelines = runs.flatMap((run, i) =>
    run.timelines.slice(-1).map((timeline) => ({ ...timeline, spec: names[i] ?? '' })),
  )
  const charts = memoryCharts(timelines)
  return charts === '' ? '<p class="soft">No run recorded a step’s memory.</p>' : charts
}

function speedCharts(runs: readonly RunData[], names: readonly string[]): string {
  const charts = metricCharts({
    ...{ table: STEP_METRICS, section: 'speed', xLabel: 'step' },
    series: (metric) => linesOf(runs, names, ({ series }) => series[metric]),
  })
  return pair(...charts)
}

function differences(runs: readonly RunData[], names: readonly string[]): string {
  const all = runs.map(({ config }) => new Map(settingsOf(config)))
  const keys = [...new Set(all.flatMap((map) => [...map.keys()]))]
  const rows = keys
    .map((key) => [key, ...all.map((map) => map.get(key) ?? '–')])
    .filter(([, ...values]) => new Set(values).size > 1)
  if (rows.length === 0) return '<p class="soft">None.</p>'
  return settingsTable('Differences in the configuration', ['setting', ...names], rows)
}

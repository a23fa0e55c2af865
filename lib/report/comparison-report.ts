// Several runs as one page: a table, accuracy, loss and speed in common charts, what differs.
import { formatBytes, formatPercent } from '../base/format.js'
import { lineChart } from './chart.js'
import { page, section, table } from './html.js'
import { memoryCharts } from './memory-chart.js'
import type { RunData } from './run-data.js'
import { bestOf, footer, meanOf, pair, point, settingsTable } from './run-report.js'
import { formatDuration, formatNumber } from './scale.js'
import { settingsOf } from './settings.js'
import { STYLE } from './style.js'

export function comparisonReport(runs: readonly RunData[]): string {
  const names = namesOf(runs)
  const sections = [
    section('summary', 'Summary', summaryTable(runs, names)),
    section('accuracy', 'Accuracy and loss', accuracyCharts(runs, names)),
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
  const rows = runs.map((run, i) => {
    const last = run.evaluations.at(-1)
    const best = bestOf(run.evaluations)
    return [
      names[i] ?? '',
      run.dataset,
      last ? formatPercent(last.accuracy) : '–',
      best ? `${formatPercent(best.accuracy)} (epoch ${best.epoch})` : '–',
      formatBytes(run.peakAllocatedBytes),
      formatDuration(run.seconds),
      formatNumber(meanOf(run.imagesPerSecond)),
      `${formatNumber(run.steps, 9)} of ${formatNumber(run.totalSteps, 9)}`,
    ]
  })
  const header = ['run', 'data', 'test accuracy', 'best', 'peak', 'time', 'images/s', 'steps']
  return table('Summary', header, rows)
}

function accuracyCharts(runs: readonly RunData[], names: readonly string[]): string {
  const named = <T>(of: (run: RunData) => T) =>
    runs.map((run, i) => ({ name: names[i] ?? '', color: i, buckets: of(run) }))
  return pair(
    lineChart({
      title: 'Test accuracy of the classifier',
      xLabel: 'epoch',
      yLabel: 'share of the test images, %',
      series: named((run) => run.evaluations.map((e) => point(e.epoch, e.accuracy * 100))),
      marks: true,
    }),
    lineChart({
      title: 'Label loss of the last module',
      xLabel: 'step',
      yLabel: 'cross-entropy, nats',
      series: named((run) => run.modules.at(-1)?.labelLoss ?? []),
    }),
  )
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
  return lineChart({
    title: 'Throughput',
    xLabel: 'step',
    yLabel: 'images per second',
    series: runs.map((run, i) => ({
      name: names[i] ?? '',
      color: i,
      buckets: run.imagesPerSecond,
    })),
    zero: true,
  })
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

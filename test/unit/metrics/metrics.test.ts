// The tables of metrics: what has a row is in every record of a run, null nowhere, 0 as 0.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { doneLine, epochLine, evaluationLine } from '../../../lib/cli/training-text.js'
import type { Evaluation } from '../../../lib/evaluate/evaluate.js'
import { metricsColumns, metricsLine } from '../../../lib/loggers/metrics-csv.js'
import { scalarsOf } from '../../../lib/loggers/tensorboard.js'
import { EVALUATION_METRICS } from '../../../lib/metrics/evaluation-metrics.js'
import { meansOf, withStep } from '../../../lib/metrics/means.js'
import { formatMetric, rowsOf } from '../../../lib/metrics/metric.js'
import { MODULE_METRICS, type ModuleMeans } from '../../../lib/metrics/module-metrics.js'
import { STEP_METRICS } from '../../../lib/metrics/step-metrics.js'
import { readRun } from '../../../lib/report/run-data.js'
import { runReport } from '../../../lib/report/run-report.js'
import type { TrainEvent } from '../../../lib/train/events.js'
import { trackedMetric } from '../../../lib/train/tracked-metric.js'
import { evaluationEvent, type StepEvent, stepEvent } from '../../helpers/train-events.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-metrics-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const ALL = [...rowsOf(MODULE_METRICS), ...rowsOf(STEP_METRICS), ...rowsOf(EVALUATION_METRICS)]

/** Every metric of a module with a value of its own, from `first` on. */
function everyFigure(first: number): ModuleMeans {
  const entries = rowsOf(MODULE_METRICS).map(([name], i) => [name, first + i / 8])
  return Object.fromEntries(entries)
}

function stepOf(modules: readonly object[]): StepEvent {
  const figures = Object.fromEntries(rowsOf(STEP_METRICS).map(([name], i) => [name, 100 + i]))
  return stepEvent({ ...figures, modules: modules as StepEvent['modules'] })
}

function epochOf(modules: readonly ModuleMeans[]): TrainEvent & { type: 'epoch' } {
  return { type: 'epoch', epoch: 1, epochs: 2, activeModule: null, seconds: 3, modules }
}

/** A module with nothing but 0 for what it has, and null for what it may lack. */
const zeros = Object.fromEntries(rowsOf(MODULE_METRICS).map(([name]) => [name, 0])) as ModuleMeans
const nothing = Object.fromEntries(
  rowsOf(MODULE_METRICS).map(([name, { given }]) => [name, given === 'always' ? 0 : null]),
) as ModuleMeans

async function reportOf(name: string, events: readonly object[]) {
  const directory = mkdtempSync(path.join(folder, `${name}-`))
  const lines = events.map((event) => `${JSON.stringify(event)}\n`)
  writeFileSync(path.join(directory, 'events.jsonl'), lines.join(''))
  const run = await readRun(directory)
  return { run, page: runReport(run) }
}

const row = (event: TrainEvent, modules: number) => {
  const values = metricsLine(event, modules, 1).trimEnd().split(',')
  return Object.fromEntries(metricsColumns(modules).map((name, i) => [name, values[i]]))
}

test('names are unique within a table, and fit a column and a tag', () => {
  for (const table of [MODULE_METRICS, STEP_METRICS, EVALUATION_METRICS]) {
    const names = rowsOf<typeof table>(table).map(([, { name }]) => name)
    assert.is(new Set(names).size, names.length)
    for (const name of names) assert.match(name, /^[a-z][a-z0-9_]*$/)
  }
})

test('every metric of a step is in metrics.csv, TensorBoard and the report', async () => {
  const modules = [everyFigure(1), everyFigure(11)].map((one) => ({ ...one, learned: true }))
  const event = stepOf(modules)
  const columns = row(event, 2)
  const tags = Object.fromEntries(scalarsOf(event).map(({ tag, value }) => [tag, value]))
  const { run, page } = await reportOf('all', [event, epochOf(modules as ModuleMeans[])])
  for (const [field, { name }] of rowsOf(STEP_METRICS)) {
    assert.is(Number(columns[name]), event[field], name)
    assert.is(tags[name], event[field], name)
    assert.is(run.series[field][0]?.mean, event[field], name)
  }
  modules.forEach((module, k) => {
    for (const [field, { name }] of rowsOf(MODULE_METRICS)) {
      assert.is(Number(columns[`module_${k + 1}_${name}`]), module[field], name)
      assert.is(tags[`${name}/module_${k + 1}`], module[field], name)
      assert.is(run.modules[k]?.[field][0]?.mean, module[field], name)
    }
  })
  // In the chart of its section, or else in a table.
  for (const [, metric] of [...rowsOf(MODULE_METRICS), ...rowsOf(STEP_METRICS)]) {
    assert.match(page.toLowerCase(), metric.title, metric.name)
  }
  for (const [field, metric] of rowsOf(MODULE_METRICS)) {
    const [low, high] = modules.map((module) => formatMetric(metric, module[field]))
    assert.match(page, `<td>${low}</td>`, metric.name)
    assert.match(page, `<td>${high}</td>`, metric.name)
  }
})

test('every metric of an evaluation is, of the classifier and of every head', async () => {
  const heads = [
    { accuracy: 0.25, top5Accuracy: 0.75, loss: 2 },
    { accuracy: 0.5, top5Accuracy: 0, loss: 1.5 },
  ]
  const event = { ...evaluationEvent(), ...heads[1], modules: heads } as TrainEvent & {
    type: 'evaluation'
  }
  const columns = row(event, 2)
  const tags = Object.fromEntries(scalarsOf(event).map(({ tag, value }) => [tag, value]))
  const { run, page } = await reportOf('evaluation', [stepOf([zeros, zeros]), event])
  for (const [field, { name, title }] of rowsOf(EVALUATION_METRICS)) {
    assert.is(columns[name], `${heads[1]?.[field]}`)
    assert.is(tags[name], heads[1]?.[field])
    heads.forEach((head, k) => {
      assert.is(columns[`module_${k + 1}_${name}`], `${head[field]}`)
      assert.is(tags[`${name}/module_${k + 1}`], head[field])
      assert.is(run.evaluations[0]?.modules[k]?.[field], head[field])
    })
    assert.match(page.toLowerCase(), title)
  }
  assert.is(
    evaluationLine(event),
    'Test accuracy 50.0 %, top 5 0.0 %, loss 1.500; heads: 25.0 %, 50.0 %',
  )
})

test('what is null stands nowhere, what is 0 stands as 0', async () => {
  const event = stepOf([
    { ...zeros, learned: true },
    { ...nothing, learned: true },
  ])
  const columns = row(event, 2)
  const tags = Object.fromEntries(scalarsOf(event).map(({ tag, value }) => [tag, value]))
  const { run } = await reportOf('null', [event])
  for (const [field, { name, given }] of rowsOf(MODULE_METRICS)) {
    assert.is(columns[`module_1_${name}`], '0')
    assert.is(tags[`${name}/module_1`], 0)
    assert.is(run.modules[0]?.[field].length, 1)
    if (given === 'always') continue
    assert.is(columns[`module_2_${name}`], '')
    assert.not.ok(`${name}/module_2` in tags)
    assert.is(run.modules[1]?.[field].length, 0)
  }
  const [first, second] = meansOf(withStep([], [zeros, nothing]))
  assert.equal(first, zeros)
  assert.equal(second, nothing)
})

test('a chart and a column are there only where a run has the metric', async () => {
  const event = stepOf([{ ...zeros, penalty: null, gradientNorm: null, learned: true }])
  const { page } = await reportOf('some', [event, epochOf([{ ...zeros, penalty: null }])])
  for (const there of ['Reconstruction loss', 'Label loss']) assert.match(page, there)
  for (const absent of ['Penalty', 'penalty', 'Gradient norm']) assert.not.match(page, absent)
})

test('over an epoch: means and maxima of the steps that had a value', () => {
  const step = (labelLoss: number | null, penalty: number | null, peakAllocatedBytes: number) => ({
    ...nothing,
    ...{ labelLoss, penalty, peakAllocatedBytes },
  })
  let sums = withStep([], [step(3, null, 10)])
  sums = withStep(sums, [step(null, null, 30)])
  // As a checkpoint keeps it.
  sums = withStep(JSON.parse(JSON.stringify(sums)), [step(1, 0, 20)])
  const [means] = meansOf(sums)
  assert.equal(means, { ...nothing, labelLoss: 2, penalty: 0, peakAllocatedBytes: 30 })
})

test('a run can be judged by every metric that has a better way, by the name of its column', () => {
  const heads = [0.25, 0.5].map((value) => ({ accuracy: value, top5Accuracy: value, loss: value }))
  const modules = [everyFigure(1), everyFigure(11)]
  const figures = {
    modules,
    evaluation: { ...evaluationEvent(), ...heads[1], modules: heads } as Evaluation,
  }
  const read = (name: string) => trackedMetric(name, 2).valueOf(figures)
  const columns = metricsColumns(2)
  for (const [field, { name, better }] of rowsOf(EVALUATION_METRICS)) {
    for (const own of [name, `module_1_${name}`]) {
      assert.ok(columns.includes(own))
      const { isHigherBetter, isOfTest } = trackedMetric(own, 2)
      assert.equal([isHigherBetter, isOfTest], [better === 'higher', true])
    }
    assert.equal([read(name), read(`module_1_${name}`)], [0.5, 0.25], field)
  }
  for (const [field, metric] of rowsOf(MODULE_METRICS)) {
    const name = `module_2_${metric.name}`
    assert.ok(columns.includes(name))
    if (!('better' in metric)) {
      assert.throws(
        () => read(name),
        (error: Error) => error.message.includes('module_K_label_loss'),
      )
      continue
    }
    assert.is(trackedMetric(name, 2).isHigherBetter, metric.better === 'higher')
    assert.is(read(name), modules[1]?.[field])
  }
})

test("the epoch's line has each metric's word, losses joined, and only modules that learned", () => {
  const modules = [
    { ...nothing, labelLoss: 2.25, reconstructionLoss: 0.5, penalty: 0.0625, accuracy: 0.125 },
    nothing,
    { ...nothing, labelLoss: 1.25, accuracy: 0.25 },
  ]
  assert.is(
    epochLine(epochOf(modules)),
    'Epoch 1 of 2, 3 s: module 1 loss 2.250+0.500+0.063, acc 12.5 %; module 3 loss 1.250, acc 25.0 %',
  )
})

test('the last line tells images over time', () => {
  const done = {
    type: 'done',
    steps: 4,
    seconds: 2,
    peakAllocatedBytes: 2048,
    stoppedEarly: false,
  } as const
  assert.is(
    doneLine({ ...done, imagesPerSecond: 217.4, evaluation: null }),
    '4 steps in 2 s, 217 images/s, peak 2.00 KiB',
  )
  assert.is(
    doneLine({ ...done, imagesPerSecond: null, evaluation: null }),
    '4 steps in 2 s, peak 2.00 KiB',
  )
})

test('a value that there is not reads as a dash, one that is 0 as 0', () => {
  for (const [, metric] of ALL) {
    assert.is(formatMetric(metric, null), '–')
    assert.is(formatMetric(metric, undefined), '–')
    assert.is(formatMetric(metric, Number.NaN), '–')
    assert.match(formatMetric(metric, 0), /^0/)
  }
})

test.run()

// metrics.csv: the columns are the same in every line, and lines are RFC 4180's.
import { spawnSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { metricsColumns, metricsHeader, metricsLine } from '../../../lib/loggers/metrics-csv.js'
import { evaluationEvent, type StepEvent, stepEvent } from '../../helpers/train-events.js'

const MODULES = 2

function fields(line: string): Record<string, string> {
  assert.ok(line.endsWith('\r\n'))
  const values = line.slice(0, -2).split(',')
  const columns = metricsColumns(MODULES)
  assert.is(values.length, columns.length)
  return Object.fromEntries(columns.map((name, i) => [name, values[i] as string]))
}

test('the header names every column once', () => {
  const columns = metricsColumns(MODULES)
  assert.is(new Set(columns).size, columns.length)
  assert.is(metricsHeader(MODULES), `${columns.join(',')}\r\n`)
  assert.equal(columns.slice(0, 4), ['step', 'epoch', 'active_module', 'learning_rate'])
  assert.ok(columns.includes('module_2_label_loss'))
})

test('a step fills its columns and leaves those of the test images empty', () => {
  const row = fields(metricsLine(stepEvent({ step: 7 }), MODULES, 7))
  assert.is(row.step, '7')
  assert.is(row.active_module, '')
  assert.is(row.module_1_label_loss, '2.25')
  assert.is(row.module_1_gradient_norm, '')
  assert.is(row.module_1_reconstruction_loss, '0.5')
  // No decoder.
  assert.is(row.module_2_reconstruction_loss, '')
  assert.is(row.module_2_peak_allocated_bytes, '2048')
  assert.is(row.test_accuracy, '')
})

test('modules that did not run are empty, the active one counts from 1', () => {
  const event = stepEvent({ activeModule: 0, modules: stepEvent({}).modules.slice(0, 1) })
  const row = fields(metricsLine(event, MODULES, 1))
  assert.is(row.active_module, '1')
  assert.is(row.module_2_label_loss, '')
})

test('a module that only passes features on has no losses', () => {
  const [first, second] = stepEvent({}).modules
  const none = { labelLoss: null, reconstructionLoss: null, accuracy: null, correct: null }
  const modules = [{ ...first, ...none, learned: false }, second] as StepEvent['modules']
  const row = fields(metricsLine(stepEvent({ modules }), MODULES, 1))
  for (const name of ['label_loss', 'reconstruction_loss', 'train_accuracy']) {
    assert.is(row[`module_1_${name}`], '')
  }
  assert.is(row.module_1_peak_allocated_bytes, '1024')
  assert.is(row.module_2_label_loss, '1.25')
})

test('an evaluation has a line with the step it came after', () => {
  const row = fields(metricsLine(evaluationEvent(), MODULES, 12))
  assert.is(row.step, '12')
  assert.is(row.test_accuracy, '0.5')
  assert.is(row.module_1_test_accuracy, '0.25')
  assert.is(row.learning_rate, '')
})

test('other events have none', () => {
  const done = {
    type: 'done',
    steps: 1,
    seconds: 1,
    imagesPerSecond: 1,
    peakAllocatedBytes: 1,
    evaluation: null,
  }
  assert.is(metricsLine(done as never, MODULES, 1), '')
})

const PYTHON = process.env.PYTHON || 'python3'
const probe = spawnSync(PYTHON, ['-c', 'import csv'], { encoding: 'utf8' })
if (probe.status !== 0) console.log(`SKIP: ${PYTHON} cannot be run`)

;(probe.status === 0 ? test : test.skip)("Python's csv reads every line, strictly", () => {
  const script = `
import csv, io, json, sys
text = sys.stdin.buffer.read().decode("ascii")
print(json.dumps(list(csv.DictReader(io.StringIO(text, newline=""), strict=True))))`
  const lines = [stepEvent({ step: 1 }), stepEvent({ step: 2, learningRate: 1e-9 })]
  const input = [
    metricsHeader(MODULES),
    ...[...lines, evaluationEvent()].map((event, i) => metricsLine(event, MODULES, i + 1)),
  ].join('')
  const { status, stdout, stderr } = spawnSync(PYTHON, ['-c', script], { encoding: 'utf8', input })
  assert.is(status, 0, stderr)
  const rows: Record<string, string>[] = JSON.parse(stdout)
  assert.equal(
    rows.map((row) => [row.step, Number(row.learning_rate), row.test_accuracy]),
    [
      ['1', 1e-3, ''],
      ['2', 1e-9, ''],
      ['3', 0, '0.5'],
    ],
  )
  for (const row of rows) assert.equal(Object.keys(row), metricsColumns(MODULES))
})

test.run()

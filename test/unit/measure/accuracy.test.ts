// The accuracy table: what is planned, how cells go on, what outcomes come to, how it reads.

import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type AccuracyResult,
  expectedSentence,
  formatAccuracy,
  formatDuration,
  formatPlan,
  markdownOfAccuracy,
  type PlannedCell,
} from '../../../lib/cli/accuracy-text.js'
import { resolveConfig } from '../../../lib/config/resolve.js'
import { parseRunSpec } from '../../../lib/local/run-spec.js'
import {
  type AccuracyPlan,
  BUDGETS,
  type Cell,
  type CellOutcome,
  gapsOf,
  imageSizeOf,
  planAccuracy,
  QUOTED,
  rowsOf,
} from '../../../lib/measure/accuracy.js'
import { timedAs } from '../../../lib/measure/accuracy-time.js'
import type { CellRequest, CellResult, CellRunner } from '../../../lib/measure/cell-request.js'
import { cellDirectory, cellState, configOfCell, runCells } from '../../../lib/measure/cells.js'
import type { RunEvaluation } from '../../../lib/runs/evaluate-run.js'
import { makeTempFolder } from '../../helpers/cifar10-fixture.js'
import { rejects } from '../../helpers/expect.js'

const test = suite<{ temp: string }>('accuracy')

test.before.each(async (context) => {
  context.temp = await makeTempFolder()
})

test.after.each(({ temp }) => rm(temp, { recursive: true, force: true }))

function outcome(cell: Cell, accuracy: number | null): CellOutcome {
  const error = accuracy === null ? { code: 'ERR_TORCH', message: 'it broke' } : null
  const status = accuracy === null ? 'failed' : 'ok'
  return { ...cell, directory: '', status, accuracy, count: accuracy === null ? null : 100, error }
}

/** A result in which the cells have these accuracies in turn. */
function resultOf(plan: AccuracyPlan, accuracies: readonly (number | null)[]): AccuracyResult {
  const rows = rowsOf(
    plan,
    plan.cells.map((cell, at) => outcome(cell, accuracies[at] as number | null)),
  )
  return {
    ...{ schema: 1, what: 'accuracy', date: '2026-01-02', directory: 'runs/x' },
    machine: { cpu: 'CPU_1', cores: 2, device: 'cpu' },
    ...{ budget: plan.budget, settings: plan.settings, rows, gaps: gapsOf(rows) },
  }
}

/** `localformer` as the cells see it: writes what the real one leaves, records what it was asked. */
class FakeRunner {
  readonly requests: CellRequest[] = []
  readonly #failing: (request: CellRequest) => CellResult | undefined

  constructor(failing: (request: CellRequest) => CellResult | undefined = () => undefined) {
    this.#failing = failing
  }

  readonly run: CellRunner = async (request) => {
    this.requests.push(request)
    const failure = this.#failing(request)
    if (failure !== undefined) return failure
    await writeFile(path.join(request.directory, 'summary.json'), '{}')
    return { status: 'ok', evaluation: { accuracy: 0.75, count: 9 } as RunEvaluation }
  }

  get works(): string[] {
    return this.requests.map(({ work }) => work)
  }
}

const SMALL = { methods: ['backprop', 'paper'], decoders: ['linear'], datasets: ['cifar10'] }

test('a budget has every method once, the paper with each decoder, seed after seed', () => {
  const { cells, settings } = planAccuracy({ seeds: 2 })
  const runs = cells.filter(({ seed }) => seed === 0).map(({ run }) => run)
  assert.equal(runs, [
    'backprop,dtype=bfloat16',
    'infopro:4,dtype=bfloat16',
    'paper:4,decoder=linear,dtype=bfloat16',
    'paper:4,decoder=conv,dtype=bfloat16',
    'paper:4,decoder=transformer,dtype=bfloat16',
    'greedy:4,dtype=bfloat16',
    'trgl:4,dtype=bfloat16',
  ])
  assert.equal(
    cells.slice(7).map(({ run, seed }) => [run, seed]),
    runs.map((run) => [run, 1]),
  )
  for (const { run, method } of cells) assert.is(parseRunSpec(run).method, method)
  assert.equal([settings.epochs, settings.trainLimit, settings.batchSize], [30, 5_000, 128])
})

test('the full budget is 300 epochs in batches of 1,024 with 20 epochs of warm-up', () => {
  const { settings, cells } = planAccuracy({ budget: 'full' })
  assert.equal([settings.epochs, settings.batchSize, settings.trainLimit], [300, 1024, null])
  assert.is(Math.round(settings.warmup * settings.epochs), 20)
  assert.is(cells.length, BUDGETS.full.datasets.length * 7)
  assert.is(cells[0]?.run, 'backprop')
  assert.is(imageSizeOf('stl10', settings), 96)
  assert.is(imageSizeOf('cifar100', settings), 32)
})

test('unknown words and wrong numbers are refused', async () => {
  await rejects(() => planAccuracy({ methods: ['papr'] }), 'ERR_CONFIG', '`methods`', '"papr"')
  await rejects(() => planAccuracy({ decoders: ['infopro'] }), 'ERR_CONFIG', 'linear, conv')
  await rejects(() => planAccuracy({ seeds: 0 }), 'ERR_CONFIG', '`seeds` but received 0')
})

test('a row is the mean and the standard deviation of its seeds, beside what is quoted', () => {
  const plan = planAccuracy({ ...SMALL, seeds: 3 })
  const [e2e, paper] = rowsOf(
    plan,
    plan.cells.map((cell, at) => outcome(cell, [0.5, 0.6, 0.7, null, 0.9, null][at] ?? null)),
  )
  assert.ok(Math.abs((e2e?.accuracy ?? 0) - 0.7) < 1e-12)
  assert.ok(Math.abs((e2e?.spread ?? 0) - 0.2) < 1e-12)
  assert.is(e2e?.quoted, 0.9137)
  assert.equal([paper?.accuracy, paper?.spread, paper?.seeds], [0.6, null, 1])
  assert.is(paper?.outcomes.length, 3)
})

test('nothing is quoted for another network', () => {
  const plan = planAccuracy({ ...SMALL, settings: { variant: 'micro' } })
  for (const row of resultOf(plan, [0.5, 0.5]).rows) assert.is(row.quoted, null)
})

test('the gaps in the quoted table are the 2.3 to 4.6 points that contradict the abstract', () => {
  const gaps = Object.values(QUOTED).map(({ paper, infopro }) =>
    (((paper ?? 0) - (infopro ?? 0)) * 100).toFixed(1),
  )
  assert.equal(gaps, ['2.3', '2.9', '4.6'])
})

test('the gap is that of the best decoder', () => {
  const plan = planAccuracy({ methods: ['infopro', 'paper'], datasets: ['cifar10'] })
  const [gap] = resultOf(plan, [0.5, 0.55, 0.58, null]).gaps
  assert.is(gap?.run, 'paper:4,decoder=conv,dtype=bfloat16')
  assert.ok(Math.abs((gap?.measured ?? 0) - 0.08) < 1e-12)
})

test('a gap says of how many decoders the best was chosen, by the accuracy that it is told of', () => {
  const plan = planAccuracy({ methods: ['infopro', 'paper'], datasets: ['cifar10'] })
  const all = resultOf(plan, [0.5, 0.55, 0.58, 0.57])
  assert.is(all.gaps[0]?.bestOf, 3)
  assert.match(
    formatAccuracy(all),
    'cifar10: paper:4,decoder=conv,dtype=bfloat16 (the best of 3 decoders by this table) over ' +
      'infopro:4,dtype=bfloat16: +8.00 points (the paper',
  )
  assert.match(
    markdownOfAccuracy(all),
    '- cifar10: `paper:4,decoder=conv,dtype=bfloat16` (the best of 3 decoders by this table) over `infopro:4',
  )
  // One that failed was not chosen from.
  assert.is(resultOf(plan, [0.5, 0.55, 0.58, null]).gaps[0]?.bestOf, 2)
  const one = planAccuracy({ methods: ['infopro', 'paper'], decoders: ['linear'] })
  const alone = resultOf(one, [0.5, 0.6])
  assert.is(alone.gaps[0]?.bestOf, 1)
  assert.match(
    formatAccuracy(alone),
    'cifar10: paper:4,decoder=linear,dtype=bfloat16 over infopro:4,dtype=bfloat16: +10.00 points',
  )
})

test('as text: the budget, ours and the quoted figures apart, and where those are from', () => {
  const plan = planAccuracy({ methods: ['infopro', 'paper'], decoders: ['linear'], seeds: 2 })
  const text = formatAccuracy(resultOf(plan, [0.5, 0.6, 0.52, null]))
  assert.match(
    text,
    'Budget cpu-hour: Swin-tiny from scratch, 30 epochs of the first 5000 training',
  )
  assert.match(text, /^infopro:4,dtype=bfloat16 +51\.00 ± 1\.41 +2 +83\.38$/m)
  assert.match(text, /^paper:4,decoder=linear,dtype=bfloat16 +60\.00 +1, 1 failed +86\.28$/m)
  assert.match(text, 'seed 1, failed: it broke [ERR_TORCH]')
  assert.match(
    text,
    "+9.00 points (the paper's abstract: up to +0.58 %; the quoted table: +2.90 points)",
  )
  assert.match(text, 'According to its repository, TRGL reports the maximum over epochs')
  assert.match(text, 'no measure of the quoted figures')
})

test('as Markdown: a table of the same width everywhere, the source as a footnote', () => {
  const plan = planAccuracy({ ...SMALL, datasets: ['cifar10', 'svhn'] })
  const text = markdownOfAccuracy(resultOf(plan, [0.5, 0.6, 0.7, null]))
  const table = text.split('\n').filter((line) => line.startsWith('|'))
  assert.is(table.length, 2 + 4)
  for (const line of table) assert.is(line.split('|').length, 5 + 2, line)
  assert.match(text, '| `backprop,dtype=bfloat16` | cifar10 | 50.00 | 1 | 91.37[^quoted] |')
  assert.match(text, '| `paper:4,decoder=linear,dtype=bfloat16` | svhn | failed | 0, 1 failed |  |')
  assert.match(text, /\n\n\[\^quoted\]: quoted: Swin-Tiny/)
})

test('a plan says what every run will take, and all of them', () => {
  const plan = planAccuracy(SMALL)
  const estimate = { imagesPerSecond: 50, seconds: 3_600 }
  const cells: PlannedCell[] = plan.cells.map((cell, at) => ({
    ...cell,
    ...(at === 0 ? { state: 'finished', estimate: null } : { state: 'begun', estimate }),
  }))
  const text = formatPlan(plan, cells)
  assert.match(text, /^backprop,dtype=bfloat16 +cifar10 +0 +finished$/m)
  assert.match(text, /^paper:4,decoder=linear,dtype=bfloat16 +cifar10 +0 +to go on +50 +60 min$/m)
  assert.match(text, '1 runs to train, expected 60 min')
  assert.is(expectedSentence(cells.slice(0, 1)), 'Every run is trained.')
  const unknown = cells.map((cell) => ({ ...cell, state: 'new' as const, estimate: null }))
  assert.match(expectedSentence(unknown), 'of 2 the step time could not be measured')
  assert.equal([45, 600, 12_000, 432_000].map(formatDuration), [
    '45 s',
    '10 min',
    '3 h 20 min',
    '5.0 days',
  ])
})

test('what is timed is what is trained', () => {
  const plan = planAccuracy({ datasets: ['cifar10', 'stl10'] })
  for (const [dataset, imageSize] of [
    ['cifar10', 32],
    ['stl10', 96],
  ] as const) {
    const { model, training } = timedAs(plan, dataset, 'cpu')
    const { variant, dropPath, device } = model
    assert.equal(
      { variant, imageSize: model.imageSize, dropPath, device },
      { variant: 'tiny', imageSize, dropPath: 0.1, device: 'cpu' },
    )
    const { recompute, labelSmoothing, weightDecay } = training
    assert.equal(
      { recompute, labelSmoothing, weightDecay },
      { recompute: 'selective', labelSmoothing: 0.1, weightDecay: 0.05 },
    )
  }
})

test('every cell is trained and evaluated by its own configuration', async ({ temp }) => {
  const plan = planAccuracy({ ...SMALL, settings: { testLimit: 50 } })
  const fake = new FakeRunner()
  const options = { directory: temp, device: 'cpu', dataDir: 'data', runner: fake.run }
  const outcomes = await runCells(plan, options)
  assert.equal(fake.works, ['train', 'train'])
  assert.equal(
    outcomes.map(({ status, accuracy, count }) => [status, accuracy, count]),
    new Array(2).fill(['ok', 0.75, 9]),
  )
  const cell = plan.cells[1] as Cell
  const request = fake.requests[1] as CellRequest
  assert.is(request.directory, cellDirectory(temp, cell))
  assert.is(request.testLimit, 50)
  assert.equal(request.config, configOfCell(plan, cell, options))
  const { run, dataset, model, training } = resolveConfig(request.config)
  assert.equal(
    [run, dataset.trainLimit, dataset.testLimit, dataset.dataDir],
    [...[cell.run, 5000, 0, 'data']],
  )
  assert.equal([training.epochs, model.imageSize, model.dropPath], [30, 32, 0.1])
})

test('what is finished is not run again, what failed is', async ({ temp }) => {
  const plan = planAccuracy(SMALL)
  const failure = { status: 'failed', code: 'ERR_NON_FINITE', message: 'NaN' } as const
  const broken = new FakeRunner(({ config }) =>
    config.run === 'backprop,dtype=bfloat16' ? failure : undefined,
  )
  const options = { directory: temp, device: 'cpu' }
  const [first, second] = await runCells(plan, { ...options, runner: broken.run })
  assert.equal(first?.error, { code: 'ERR_NON_FINITE', message: 'NaN' })
  assert.is(second?.status, 'ok')
  const whole = new FakeRunner()
  const outcomes = await runCells(plan, { ...options, runner: whole.run })
  assert.equal(whole.works, ['train'])
  assert.ok(outcomes.every(({ status }) => status === 'ok'))
})

test('a run with a checkpoint goes on, one that is trained is evaluated', async ({ temp }) => {
  const plan = planAccuracy(SMALL)
  const [first, second] = plan.cells as [Cell, Cell]
  const stopped = new FakeRunner(() => ({ status: 'failed', code: null, message: 'killed' }))
  const options = { directory: temp, device: 'cpu' }
  await runCells(plan, { ...options, runner: stopped.run })
  assert.is(await cellState(plan, first, temp), 'new')
  // Between two renames of a save only the one before the last has its name.
  await mkdir(path.join(cellDirectory(temp, first), 'checkpoints/previous'), { recursive: true })
  await writeFile(path.join(cellDirectory(temp, second), 'summary.json'), '{}')
  assert.is(await cellState(plan, first, temp), 'begun')
  assert.is(await cellState(plan, second, temp), 'trained')
  const fake = new FakeRunner()
  await runCells(plan, { ...options, runner: fake.run })
  assert.equal(fake.works, ['resume', 'evaluate'])
})

test('a folder of another budget is refused before anything is run', async ({ temp }) => {
  const options = { directory: temp, device: 'cpu' }
  await runCells(planAccuracy(SMALL), { ...options, runner: new FakeRunner().run })
  const other = planAccuracy({ ...SMALL, settings: { epochs: 31 } })
  const fake = new FakeRunner()
  await rejects(
    () => runCells(other, { ...options, runner: fake.run }),
    'ERR_CONFIG',
    'another budget or other options',
    '--run-dir',
  )
  assert.equal(fake.requests, [])
})

test('an interruption is no outcome: it ends all with its reason', async ({ temp }) => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const runner: CellRunner = async () => {
    controller.abort(reason)
    return { status: 'failed', code: null, message: 'killed' }
  }
  const options = { directory: temp, device: 'cpu', runner, signal: controller.signal }
  const plan = planAccuracy(SMALL)
  const error = await runCells(plan, options).catch((caught: unknown) => caught)
  assert.is(error, reason)
  assert.not.ok(existsSync(cellDirectory(temp, plan.cells[1] as Cell)))
  const kept = path.join(cellDirectory(temp, plan.cells[0] as Cell), 'cell.json')
  assert.is(JSON.parse(await readFile(kept, 'utf8')).settings.epochs, 30)
})

test.run()

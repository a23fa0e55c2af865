// train, evaluate and compare as a user runs them, on synthetic images with a tiny network.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-cli-'))
const NETWORK = ['--dataset', 'synthetic', '--variant', 'micro', '--image-size', '32']

function run(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'utf8',
    cwd: folder,
  })
  return { status, stdout, stderr }
}

function json(...args: readonly string[]) {
  const result = run(...args, '--json')
  assert.is(result.status, 0, result.stderr)
  return JSON.parse(result.stdout)
}

const TRAIN = ['train', ...NETWORK, '--batch-size', '16', '--max-steps', '4', '--test-limit', '64']

test('train keeps a run folder that evaluate reads', () => {
  const directory = path.join(folder, 'run')
  const summary = json(...TRAIN, '--run', 'paper:4', '--run-dir', directory)
  assert.is(summary.steps, 4)
  assert.is(summary.modules.length, 4)
  assert.is(summary.evaluation.count, 64)
  const events = readFileSync(path.join(directory, 'events.jsonl'), 'utf8').trim().split('\n')
  const types = events.map((line) => JSON.parse(line).type)
  assert.equal(types, [
    ...['step', 'step', 'step', 'step', 'epoch', 'evaluation', 'checkpoint', 'done'],
  ])
  const steps = events.map((line) => JSON.parse(line)).filter(({ type }) => type === 'step')
  // Images over time, not a mean of rates, the waits for batches included.
  const took = steps.map(({ seconds, waitSeconds }) => seconds + waitSeconds)
  const all = took.reduce((a, b) => a + b, 0)
  assert.ok(Math.abs(summary.imagesPerSecond / ((4 * 16) / all) - 1) < 1e-9)
  assert.is(steps[0].imagesPerSecond, 16 / took[0])
  // The first batch is always waited for.
  assert.ok(steps[0].waitSeconds > 0)
  // The data set follows from the run.
  const again = json('evaluate', directory, '--limit', '64')
  assert.is(again.accuracy, summary.evaluation.accuracy)
  assert.is(again.loss, summary.evaluation.loss)
  assert.equal(again.modules, summary.evaluation.modules)
})

test('what a method alone has is in every record of its run', () => {
  const directory = path.join(folder, 'trgl')
  const args = [...TRAIN, '--method', 'trgl', '--modules', '2', '--clip-norm', '1']
  const result = run(...args, '--run-dir', directory)
  assert.is(result.status, 0, result.stderr)
  assert.match(
    result.stdout,
    /^Epoch 1 of \d+, \d+ s: module 1 loss \d\.\d{3}\+\d+\.\d{3}, acc [\d.]+ %; module 2 loss /m,
  )
  const read = (name: string) => readFileSync(path.join(directory, name), 'utf8')
  const [header = '', first = ''] = read('metrics.csv').split('\r\n')
  const cell = (column: string) => first.split(',')[header.split(',').indexOf(column)]
  for (const metric of ['penalty', 'gradient_norm']) {
    assert.ok(Number(cell(`module_1_${metric}`)) > 0)
    assert.ok(Number(cell(`module_2_${metric}`)) > 0)
  }
  assert.is(cell('module_1_reconstruction_loss'), '')
  const [tensorboard = ''] = readdirSync(directory).filter((name) => name.startsWith('events.out'))
  assert.match(read(tensorboard), 'penalty/module_2')
  assert.not.match(read(tensorboard), 'reconstruction_loss')
  const summary = JSON.parse(read('summary.json'))
  assert.ok(summary.modules.every(({ penalty }: { penalty: number }) => penalty > 0))
  assert.equal(
    summary.modules.map((module: { reconstructionLoss: null }) => module.reconstructionLoss),
    [null, null],
  )
  const [, throughput] = /, ([\d.]+ images\/s), peak/.exec(result.stdout) ?? []
  assert.match(read('report.html'), `<dt>Throughput</dt><dd>${throughput}</dd>`)
  for (const title of ['Penalty of every module', 'Gradient norm of every module']) {
    assert.match(read('report.html'), title)
  }
  assert.not.match(read('report.html'), 'Reconstruction loss')
})

test('options that cannot be leave the run that --overwrite would remove, and no folder', () => {
  const directory = path.join(folder, 'kept')
  json(...TRAIN, '--run-dir', directory)
  for (const wrong of ['--batch-size', '--crop-padding']) {
    const args = ['train', ...NETWORK, wrong, '10000', '--run-dir', directory, '--overwrite']
    const { status, stderr } = run(...args)
    assert.is(status, 2, stderr)
    assert.match(stderr, '10000')
  }
  json('evaluate', directory, '--limit', '16')
  const { status } = run('train', ...NETWORK, '--batch-size', '10000')
  assert.is(status, 2)
  assert.not.ok(existsSync(path.join(folder, 'runs')))
})

test('the same seed gives the same losses, another one does not', () => {
  const losses = (seed: string, name: string) => {
    json(...TRAIN, '--seed', seed, '--run-dir', path.join(folder, name))
    return readFileSync(path.join(folder, name, 'events.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter((event) => event.type === 'step')
      .map((event) => event.modules.map((module: { labelLoss: number }) => module.labelLoss))
  }
  const first = losses('1', 'seed-a')
  assert.equal(losses('1', 'seed-b'), first)
  assert.not.equal(losses('2', 'seed-c'), first)
})

test('compare prints one row a spec with savings against the first', () => {
  const specs = ['--run', 'backprop', '--run', 'paper:2', '--run', 'greedy:4']
  const file = path.join(folder, 'compare.json')
  const result = json(
    ...['compare', ...specs, ...NETWORK, '--batch-size', '8', '--steps', '2'],
    ...['--output', file],
  )
  assert.equal(JSON.parse(readFileSync(file, 'utf8')), result)
  const [first, second, third] = result.rows
  assert.is(result.schema, 1)
  assert.is(first.savedVsFirst, 0)
  assert.is(first.timeVsFirst, 1)
  assert.is(second.savedVsFirst, 1 - second.peakAllocatedBytes / first.peakAllocatedBytes)
  assert.is(first.savedReservedVsFirst, 0)
  assert.is(second.savedReservedVsFirst, 1 - second.peakReservedBytes / first.peakReservedBytes)
  // The paper's figures are for Swin-Tiny, not for this network.
  assert.is(second.paperSaving, null)
  assert.is(third.paperSaving, null)
  assert.is(third.decoder, null)
  for (const row of result.rows) {
    assert.is(row.status, 'ok')
    assert.is(row.perModule.length, row.modules)
    const highest = Math.max(
      ...row.perModule.map((m: { peakAllocatedBytes: number }) => m.peakAllocatedBytes),
    )
    assert.is(row.peakAllocatedBytes, highest)
    assert.ok(row.residentBytes > 0 && row.residentBytes < row.peakAllocatedBytes)
    assert.ok(row.peakReservedBytes >= row.peakAllocatedBytes)
  }
  // Cut or not, the units are the same.
  const units = (row: { perModule: { units: string[] }[] }) => row.perModule.flatMap((m) => m.units)
  assert.equal(units(second), units(first))
})

test('a run that does not fit is a row, not a failure', () => {
  const args = [
    'compare',
    '--run',
    'paper:4',
    '--run',
    'backprop',
    ...NETWORK,
    '--batch-size',
    '64',
  ]
  const free = json(...args, '--steps', '1')
  const between = (free.rows[0].peakAllocatedBytes + free.rows[1].peakAllocatedBytes) / 2
  const limit = `${Math.round(between / 2 ** 10)} KiB`
  const tight = json(...args, '--steps', '1', '--memory-limit', limit)
  assert.is(tight.rows[0].status, 'ok')
  assert.is(tight.rows[1].status, 'out_of_memory')
  assert.is(tight.rows[1].peakAllocatedBytes, null)
})

test('a limit that training does not fit is told with the way to change it', () => {
  const directory = path.join(folder, 'limited')
  const tight = run(...TRAIN, '--run-dir', directory, '--memory-limit', '2MiB')
  assert.is(tight.status, 1, tight.stderr)
  assert.match(tight.stderr, 'limit 2.0 MiB as it was set')
  assert.match(tight.stderr, '--memory-limit SIZE')
  assert.match(tight.stderr, 'ERR_OUT_OF_MEMORY')
  json(...TRAIN, '--run-dir', directory, '--overwrite', '--memory-limit', '8 GB')
  const summary = run('summary', '--run', 'paper:2', '--memory-limit', '50MB', '--device', 'cpu')
  assert.is(summary.status, 1)
  assert.match(summary.stderr, 'limit 47.7 MiB as it was set')
})

test('a second run in a folder leaves nothing of the first', async () => {
  const directory = path.join(folder, 'twice')
  json(...TRAIN, '--run-dir', directory)
  const again = [...TRAIN, '--learning-rate', '1e30', '--run-dir', directory]
  // Only when it is asked for.
  const refused = run(...again)
  assert.is(refused.status, 2)
  assert.match(refused.stderr, 'holds a finished run (step 4, epoch 1)')
  assert.match(refused.stderr, '--overwrite')
  assert.ok(existsSync(path.join(directory, 'weights.safetensors')))
  assert.is(run(...again, '--overwrite').status, 1)
  const names = readdirSync(directory).map((name) => name.replace(/\d+/, 'N'))
  // The step that failed left a checkpoint of the one before it.
  assert.equal(names.sort(), [
    ...['.lock', 'checkpoints', 'config.json', 'events.jsonl'],
    ...['events.out.tfevents.N.localformer', 'metrics.csv', 'weights.safetensors'],
  ])
  assert.equal(readdirSync(path.join(directory, 'checkpoints')), ['last'])
  const events = readFileSync(path.join(directory, 'events.jsonl'), 'utf8').trim().split('\n')
  const first = events.map((line) => JSON.parse(line)).filter(({ step }) => step === 1)
  assert.equal(
    first.map(({ type }) => type),
    ['step', 'checkpoint'],
  )
})

test('bad input is told before anything runs, with exit code 2', () => {
  const wrong: readonly [readonly string[], readonly string[]][] = [
    [
      ['train', '--run', 'papr'],
      ['papr', 'backprop, paper, infopro, greedy, trgl'],
    ],
    [
      ['train', '--epochs', '0'],
      ['epochs', 'received 0'],
    ],
    [['train', '--dataset', 'cifar'], ['cifar10, cifar100']],
    [
      ['train', ...NETWORK, '--batch-size', '100000'],
      ['batchSize', '100000'],
    ],
    [
      ['train', ...NETWORK, '--window-size', '3'],
      ['windowSize', '3'],
    ],
    [
      ['train', ...NETWORK, '--device', 'gpu'],
      ['cuda:N', 'gpu'],
    ],
    [
      ['compare', '--run', 'backprop', ...NETWORK, '--steps', '0'],
      ['steps', 'received 0'],
    ],
    [
      ['compare', '--run', 'paper:9', ...NETWORK],
      ['9 modules', 'at most 4 modules'],
    ],
    [['compare', ...NETWORK], ['run']],
    ...[
      ['compare', '--run', 'backprop'],
      ['train'],
      ['summary'],
      ['reproduce', 'memory'],
      ['reproduce', 'accuracy'],
    ].flatMap((command): [readonly string[], readonly string[]][] =>
      ['-1', '4', '4 apples'].map((limit) => [
        [...command, '--memory-limit', limit],
        ['a size such as 4GiB', 'for `memoryLimit`', limit],
      ]),
    ),
  ]
  for (const [args, parts] of wrong) {
    const { status, stderr, stdout } = run(...args)
    assert.is(status, 2, `${args.join(' ')}: ${stderr}`)
    assert.is(stdout, '')
    for (const part of parts) assert.match(stderr, part)
  }
})

test('a damaged checkpoint is refused', () => {
  const directory = path.join(folder, 'damaged')
  json(...TRAIN, '--run-dir', directory)
  truncateSync(path.join(directory, 'weights.safetensors'), 100_000)
  const { status, stderr } = run('evaluate', directory, '--dataset', 'synthetic')
  assert.is(status, 1)
  assert.match(stderr, 'ERR_CHECKPOINT')
  assert.match(stderr, 'truncated')
})

test('Ctrl-C ends training between two steps with exit code 130', async () => {
  const directory = path.join(folder, 'interrupted')
  const args = [
    'train',
    ...NETWORK,
    '--batch-size',
    '16',
    '--epochs',
    '500',
    '--run-dir',
    directory,
  ]
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (data) => {
    stderr += data
    // The first progress line: it trains. A second signal would end it at once.
    if (/epoch 1 /.test(stderr) && !child.killed) child.kill('SIGINT')
  })
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.on('close', (...end) => resolve(end))
  })
  assert.is(signal, null)
  assert.is(code, 130)
  assert.match(stderr, `to go on: npx localformer train --resume ${directory}`)
  assert.ok(existsSync(path.join(directory, 'checkpoints/last/state.json')))
})

test.run()

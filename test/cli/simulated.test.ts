// Commands with --device sim:NAME as a user runs them, on synthetic images with a tiny network.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { CompareResult } from '../../lib/measure/compare.js'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-cli-simulated-'))
const NETWORK = ['--dataset', 'synthetic', '--variant', 'micro', '--image-size', '32']
const SMALL = [...NETWORK, '--batch-size', '4', '--steps', '1']

test.after(() => rmSync(folder, { recursive: true, force: true }))

function cli(...args: readonly string[]) {
  return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', cwd: folder })
}

function compare(...args: readonly string[]): CompareResult {
  const { status, stdout, stderr } = cli('compare', ...SMALL, '--json', ...args)
  assert.is(status, 0, stderr)
  return JSON.parse(stdout)
}

const RUNS = ['--run', 'backprop', '--run', 'paper:4', '--run', 'paper:4,decoder=conv']

test('compare: what is computed is null, not 0, and cuDNN makes a lower bound', () => {
  const { device, simulated, rows, warnings } = compare(
    ...['--device', 'sim:RTX3060', ...RUNS, '--run', 'infopro:2'],
  )
  assert.is(device, 'sim:rtx3060')
  assert.is(simulated, 'NVIDIA GeForce RTX 3060')
  assert.equal(warnings, [])
  for (const row of rows) {
    assert.is(row.status, 'ok', row.spec)
    assert.is(row.stepSeconds, null)
    assert.is(row.timeVsFirst, null)
    assert.is(row.peakRssBytes, null)
    assert.type(row.savedVsFirst, 'number')
    assert.ok((row.peakAllocatedBytes ?? 0) > (row.workspaceBytes ?? 0))
    assert.is(row.workspaceBytes, rows[0]?.workspaceBytes, 'the same in every row')
    assert.ok((row.calls?.launches ?? 0) > 0 && (row.calls?.products ?? 0) > 0)
    assert.is(row.calls?.unorderedUses, 0)
    for (const module of row.perModule) {
      assert.ok((module.peakAllocatedBytes ?? 0) > 0)
      for (const name of ['seconds', 'labelLoss', 'reconstructionLoss', 'gradientNorm'] as const) {
        assert.is((module as unknown as Record<string, unknown>)[name] ?? null, null, name)
      }
      assert.is(module.calls, undefined, 'only with --calls')
    }
  }
  assert.equal(
    rows.map(({ isLowerBound }) => isLowerBound),
    [false, false, true, true],
  )
})

test('compare: on the CPU nothing is simulated, and times and losses are there', () => {
  const { simulated, rows, warnings } = compare(
    ...['--device', 'cpu', '--run', 'paper:2,dtype=bfloat16'],
  )
  assert.is(simulated, null)
  assert.equal(warnings, [])
  const [row] = rows
  assert.ok((row?.stepSeconds?.median ?? 0) > 0)
  assert.is(row?.isLowerBound, false)
  assert.is(row?.workspaceBytes, 0)
  assert.is(row?.calls, null)
  assert.ok((row?.perModule[0]?.labelLoss ?? 0) > 0)
})

test('compare as text says simulated and prints neither times nor losses', () => {
  const { status, stdout } = cli('compare', ...SMALL, '--device', 'sim:rtx3060', ...RUNS)
  assert.is(status, 0)
  assert.match(stdout, 'on a simulated NVIDIA GeForce RTX 3060')
  assert.match(stdout, /^run +allocated +reserved +saved +paper$/m)
  assert.match(stdout, /^paper:4,decoder=conv +>= [\d.]+ MiB +>= [\d.]+ MiB/m)
  assert.match(stdout, /^paper:4 +[\d.]+ MiB/m)
  assert.match(stdout, /Simulated: .* no times and no losses/)
  assert.match(stdout, /^Every row includes [\d.]+ MiB of cuBLAS's workspaces/m)
  assert.match(stdout, '>=: calls cuDNN')
  assert.match(stdout, /does not say what it recomputes .*recompute=none.*recompute=selective/)
  assert.not.match(stdout, /NaN|undefined|null|s\/step|Warning/)
})

test('compare --calls counts by module and phase, and the parts are the whole', () => {
  const { rows } = compare('--device', 'sim:rtx3060', '--calls', ...RUNS)
  for (const { spec, calls, perModule } of rows) {
    const phases = perModule.flatMap(({ calls }) => Object.values(calls ?? {}))
    assert.is(phases.length, 4 * perModule.length, spec)
    const products = phases.reduce((sum, phase) => sum + phase.products, 0)
    assert.is(products, calls?.products, spec)
    const launches = phases.reduce((sum, phase) => sum + phase.launches, 0)
    assert.ok(launches <= (calls?.launches ?? 0) && launches > 0.9 * (calls?.launches ?? 0), spec)
  }
  const { stdout } = cli('compare', ...SMALL, '--device', 'sim:rtx3060', '--calls', ...RUNS)
  const table = stdout.split('\n').flatMap((line) => {
    const [, name = '', numbers = ''] = /^( *\S.*?) {2,}([\d, ]+)$/.exec(line) ?? []
    return name === ''
      ? []
      : [{ name, launches: Number(numbers.trim().split(/ +/)[0]?.replace(',', '')) }]
  })
  const whole = table.find(({ name }) => name === 'paper:4')?.launches ?? Number.NaN
  const first = table.findIndex(({ name }) => name === 'paper:4')
  const rest = table.slice(first + 1)
  const parts = rest.slice(
    0,
    rest.findIndex(({ name }) => !name.startsWith(' ')),
  )
  assert.is(parts.length, 17, 'the batch, and four phases of each module')
  assert.is(
    parts.reduce((sum, { launches }) => sum + launches, 0),
    whole,
  )
})

test('compare --calls wants a simulated device', () => {
  for (const device of ['cpu', 'auto']) {
    const { status, stdout, stderr } = cli('compare', '--calls', '--device', device, ...RUNS)
    assert.is(status, 2)
    assert.is(stdout, '')
    assert.match(stderr, 'ERR_USAGE')
    assert.match(stderr, '--device sim:rtx3060')
  }
})

test('a card without native bfloat16 is not offered it without a word', () => {
  const runs = ['--run', 'backprop', '--run', 'paper:2,dtype=bfloat16']
  const { rows, warnings } = compare('--device', 'sim:t4', ...runs)
  assert.is(warnings.length, 1)
  assert.match(warnings[0] ?? '', /^1 run asks for dtype=bfloat16, but Tesla T4 .*7\.5/)
  assert.is(rows[1]?.status, 'ok')
  const { stdout } = cli('compare', ...SMALL, '--device', 'sim:t4', ...runs)
  assert.match(stdout, /^Warning: 1 run asks for dtype=bfloat16/m)
  assert.equal(compare('--device', 'sim:t4', '--run', 'backprop').warnings, [])
  assert.equal(compare('--device', 'sim:rtx3060', ...runs).warnings, [])
})

test('a run that does not fit is one row', () => {
  const { status, stdout, stderr } = cli(
    ...['compare', '--json', '--dataset', 'synthetic', '--variant', 'micro', '--image-size', '128'],
    ...['--device', 'sim:1GiB,sm_86', '--batch-size', '256', '--steps', '1'],
    ...['--run', 'backprop', '--run', 'paper:4,recompute=block,accumulate=32'],
  )
  assert.is(status, 0, stderr)
  const { rows } = JSON.parse(stdout) as CompareResult
  assert.equal(
    rows.map(({ status }) => status),
    ['out_of_memory', 'ok'],
  )
  assert.is(rows[0]?.calls, null)
  assert.is(rows[0]?.isLowerBound, false)
  assert.is(rows[1]?.savedVsFirst, null)
  assert.is(rows[1]?.savedReservedVsFirst, null)
})

test('reproduce memory writes the table of a card as Markdown', () => {
  const { status, stdout, stderr } = cli(
    ...['reproduce', 'memory', '--quick', ...NETWORK, '--device', 'sim:t4'],
    ...['--markdown', '--output', 'card.md'],
  )
  assert.is(status, 0, stderr)
  assert.match(stdout, '`localformer reproduce memory --markdown --device sim:t4`')
  assert.match(
    stdout,
    /Simulated on \d{4}-\d\d-\d\d on a simulated Tesla T4, with LibTorch 2\.11\.0/,
  )
  assert.match(
    stdout,
    /^\| run \| peak \| saved \| reserved \| saved reserved \| paper \| peak of each module, MiB \|/m,
  )
  assert.match(
    stdout,
    /^\| `infopro:4` \| >= [\d.]+ MiB \| -?[\d.]+ % \| >= [\d.]+ MiB \| -?[\d.]+ % \|/m,
  )
  assert.match(
    stdout,
    /^- `paper:4` is [\d.]+ % (?:below|above) `backprop`, by reserved bytes [\d.]+ % (?:below|above)$/m,
  )
  assert.match(stdout, /^Warning: 2 runs ask for dtype=bfloat16/m)
  assert.not.match(stdout, /NaN|undefined/)
  assert.is(readFileSync(path.join(folder, 'card.md'), 'utf8'), stdout)
})

test('summary shows a network on a card', () => {
  const { status, stdout, stderr } = cli(
    ...['summary', '--run', 'paper:4', '--variant', 'micro', '--image-size', '32'],
    ...['--device', 'sim:rtx3060'],
  )
  assert.is(status, 0, stderr)
  assert.match(stdout, /simulated/)
})

const NONSENSE: [string, RegExp][] = [
  ['sim:voodoo2', /knows no card "voodoo2"/],
  ['sim:rtx306', /did you mean rtx3060\?/],
  ['sim:', /knows no card ""/],
  ['sim:12GiB', /a size and an architecture/],
  ['sim:0GiB,sm_86', /a card of 1 GiB to 1 TiB/],
  ['sim:12GiB,sm_70', /an architecture that LibTorch's build has kernels for/],
  ['simulated', /a simulated card such as sim:rtx3060/],
  ['SIM:rtx3060', /a simulated card such as sim:rtx3060/],
]

for (const [device, expected] of NONSENSE) {
  test(`--device ${device} is refused before anything is done`, () => {
    const { status, stdout, stderr } = cli('compare', ...SMALL, ...RUNS, '--device', device)
    assert.is(status, 2, stderr)
    assert.is(stdout, '')
    assert.match(stderr, expected)
    assert.not.match(stderr, / {4}at /)
  })
}

test('nor do the other commands know a card that there is not', () => {
  for (const command of [['reproduce', 'memory'], ['summary']]) {
    const { status, stderr } = cli(...command, '--device', 'sim:rtx306')
    assert.is(status, 2, stderr)
    assert.match(stderr, 'did you mean rtx3060?')
  }
})

test('commands that compute refuse a simulated device', () => {
  for (const command of [
    ['train', ...NETWORK, '--run', 'paper:2', '--epochs', '1'],
    ['evaluate', 'run'],
    ['reproduce', 'accuracy', '--datasets', 'synthetic', '--variant', 'micro'],
  ]) {
    const { status, stdout, stderr } = cli(...command, '--device', 'sim:rtx3060')
    assert.is(status, 2, `${command.join(' ')}: ${stderr}`)
    assert.is(stdout, '')
    assert.match(stderr, 'A simulated device computes nothing')
  }
})

test('--memory-limit bounds what is reserved of the card', () => {
  const free = compare('--device', 'sim:rtx3060', '--run', 'backprop')
  const [{ peakReservedBytes } = { peakReservedBytes: 0 }] = free.rows
  const limits: [number, string][] = [
    [peakReservedBytes ?? 0, 'ok'],
    [(peakReservedBytes ?? 0) / 2, 'out_of_memory'],
  ]
  for (const [limit, status] of limits) {
    const { rows } = compare(
      ...['--device', 'sim:rtx3060', '--run', 'backprop'],
      ...['--memory-limit', `${Math.floor(limit)}`],
    )
    assert.is(rows[0]?.status, status)
  }
})

test.run()

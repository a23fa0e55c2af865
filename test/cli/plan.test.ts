// localformer plan: verdicts, exit codes, documents and pages.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PlanResult } from '../../lib/plan/plan.js'

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const MICRO = ['--variant', 'micro', '--image-size', '32']

let folder: string
test.before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'localformer-plan-'))
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

function plan(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'plan', ...args], {
    encoding: 'utf8',
    cwd: folder,
  })
  return { code: status, stdout, stderr }
}

function document(...args: string[]) {
  const { code, stdout, stderr } = plan(...args, '--json')
  assert.ok(stdout !== '', stderr)
  return { code, result: JSON.parse(stdout) as PlanResult }
}

test('what fits a limit on the CPU, with its bar and how to train it', () => {
  const limit = ['--device', 'cpu', '--memory-limit', '64MiB']
  const { code, stdout } = plan(...MICRO, ...limit, '--run', 'paper:2', '--batch-size', '8')
  assert.is(code, 0)
  assert.match(stdout, /^paper:2 +fits +[\d.]+ MiB/m)
  // Seconds are estimated of cards alone.
  assert.match(stdout, /^run +verdict +peak +reserved +left +largest batch$/m)
  assert.match(stdout, /^paper:2 +█+·+\| +[\d.]+ MiB of 64.0 MiB$/m)
  assert.match(stdout, /npx localformer train .*--variant micro .*--run paper:2$/m)
})

test('what a run recomputes that does not say so is told', () => {
  const limit = ['--device', 'cpu', '--memory-limit', '64MiB', '--batch-size', '8']
  const told = /does not say what it recomputes .* recompute=selective/
  assert.match(plan(...MICRO, ...limit, '--run', 'paper:2').stdout, told)
  const said = plan(...MICRO, ...limit, '--run', 'paper:2,recompute=none').stdout
  assert.match(said, /^paper:2,recompute=none +fits/m)
  assert.not.match(said, told)
})

test('what does not fit ends with 3 and names who asks for too much, and the largest batch', () => {
  const limit = ['--device', 'cpu', '--memory-limit', '128MiB']
  const run = 'backprop,recompute=none'
  const args = [...MICRO, ...limit, '--run', run, '--batch-size', '1024']
  const { code, result } = document(...args)
  assert.is(code, 3)
  const [row] = result.rows
  assert.is(row?.verdict, 'does not fit')
  assert.is(row?.failsIn?.module, 'module 1')
  const batch = row?.largestBatch?.safe ?? 0
  assert.ok(batch > 0 && batch < 1024, `${batch}`)
  assert.is(row?.largestBatch?.isLowerBound, false)
  const smaller = document(...MICRO, ...limit, '--run', run, '--batch-size', `${batch}`)
  assert.is(smaller.code, 0)
})

test('where more images are not tried than fit, the largest batch is told as a lower bound', () => {
  const card = ['--gpu', 'h100', '--run', 'paper:2']
  assert.match(plan(...MICRO, ...card).stdout, /^paper:2 .* >= 65536\b/m)
  const { result } = document(...MICRO, ...card)
  assert.equal(result.rows[0]?.largestBatch, {
    ...{ safe: 65_536, possible: 65_536, isLowerBound: true },
  })
})

test('several cards and run specs are a row each; card and batch are to be found in all', () => {
  const runs = ['--run', 'backprop', '--run', 'paper:4']
  const { code, result } = document(...MICRO, '--gpu', 'rtx3060', '--gpu', '24GB', ...runs)
  assert.is(code, 0)
  assert.equal(
    result.rows.map(({ spec, device }) => [spec, device]),
    [
      ['backprop', 'sim:rtx3060'],
      ['paper:4', 'sim:rtx3060'],
      ['backprop', 'sim:24GB,sm_86'],
      ['paper:4', 'sim:24GB,sm_86'],
    ],
  )
  for (const row of result.rows) {
    assert.is(row.verdict, 'fits')
    assert.ok((row.peakReservedBytes ?? 0) >= (row.peakAllocatedBytes ?? Number.MAX_VALUE))
    assert.ok((row.stepSeconds ?? 0) > 0)
    assert.is(row.marginBytes, row.totalBytes - (row.peakWithContextBytes ?? 0))
  }
})

test('without a run spec every sensible one is ranked, method and parts kept where they are given', () => {
  const { code, result } = document(
    ...MICRO,
    '--gpu',
    'rtx3060',
    '--dtype',
    'float32',
    '--recompute',
    'none',
  )
  assert.is(code, 0)
  assert.ok(result.isSearch)
  assert.ok(result.rows.some(({ gradients }) => gradients === 'exact'))
  assert.ok(result.rows.some(({ gradients }) => gradients === 'local'))
  const seconds = result.rows.map(({ stepSeconds }) => stepSeconds ?? 0)
  assert.equal(
    seconds,
    [...seconds].sort((a, b) => a - b),
  )
  for (const { spec } of result.rows) assert.match(spec, /recompute=none/)
})

test('a search that finds nothing says so and ends with 3', () => {
  const limit = ['--device', 'cpu', '--memory-limit', '8MiB']
  const { code, stdout } = plan(...MICRO, ...limit, '--recompute', 'none', '--batch-size', '4')
  assert.is(code, 3)
  assert.match(stdout, /^CPU: nothing that was tried fits$/m)
  assert.not.match(stdout, /To train it/)
})

test('a batch that is more pixels than an array has is refused', () => {
  const { code, stdout, stderr } = plan(...MICRO, '--gpu', 'h100', '--batch-size', '1000000000')
  assert.is(code, 2, stderr)
  assert.is(stdout, '')
  assert.match(
    stderr,
    /Expected at most \d+ for `batchSize` but received 1000000000 \[ERR_CONFIG\]/,
  )
})

test('the document and the page are written too', () => {
  const files = ['--output', 'plan.json', '--html', 'plan.html']
  const { code, stdout } = plan(...MICRO, '--gpu', 'h100', '--run', 'paper:4', ...files)
  assert.is(code, 0, stdout)
  const result = JSON.parse(readFileSync(path.join(folder, 'plan.json'), 'utf8')) as PlanResult
  assert.is(result.rows[0]?.modules.length, 4)
  const page = readFileSync(path.join(folder, 'plan.html'), 'utf8')
  assert.match(page, /NVIDIA H100/)
  assert.match(page, /module 4/)
})

test('nonsense is refused with what to write instead', () => {
  for (const [args, words] of [
    [['--gpu', 'rtx306'], /did you mean rtx3060\?/],
    [['--gpu', '12'], /Expected a card or a size such as 12GiB for `gpu` but received "12"/],
    [['--gpu', '7EiB'], /the simulated device knows no card|Expected/i],
    [['--device', 'cpu', '--memory-limit', 'lots'], /Expected a size such as 4GiB.*"lots"/],
    [['--gpu', 'rtx3060', '--run', 'papr:4'], /Run spec "papr:4"/],
    [['--gpu', 'rtx3060', '--classes', '0'], /`classes`/],
    [['--gpu', 'rtx3060', '--batch-size', '0'], /batchSize/],
  ] as [string[], RegExp][]) {
    const { code, stderr } = plan(...MICRO, ...args)
    assert.is(code, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, words)
  }
})

test.run()

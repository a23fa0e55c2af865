// train --batch-size auto, and what a run that is out of memory is told.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Change } from '../../lib/plan/advice.js'

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const MICRO = ['--dataset', 'synthetic', '--variant', 'micro', '--image-size', '32']

let folder: string
test.before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'localformer-auto-'))
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

function train(...args: string[]) {
  const all = [main, 'train', ...MICRO, '--max-steps', '1', '--test-limit', '0', ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, all, {
    encoding: 'utf8',
    cwd: folder,
  })
  return { code: status, stdout, stderr }
}

function configOf(run: string) {
  return JSON.parse(readFileSync(path.join(folder, run, 'config.json'), 'utf8')) as {
    run: string
    training: { batchSize: number }
  }
}

test('auto takes the largest batch that the limit has room for, and the run keeps it', () => {
  const { code, stderr } = train(
    '--run',
    'backprop,recompute=none',
    '--batch-size',
    'auto',
    '--memory-limit',
    '72MiB',
    '--run-dir',
    'auto',
  )
  assert.is(code, 0, stderr)
  const { batchSize } = configOf('auto').training
  assert.ok(batchSize > 8 && batchSize < 512, `${batchSize}`)
  assert.match(stderr, new RegExp(`^Batch size ${batchSize}: a step takes`, 'm'))
  // A tenth more does not fit.
  const more = `${Math.ceil(batchSize * 1.1)}`
  const larger = train(
    '--run',
    'backprop,recompute=none',
    '--batch-size',
    more,
    '--memory-limit',
    '72MiB',
    '--run-dir',
    'larger',
  )
  assert.is(larger.code, 1)
  assert.match(larger.stderr, /ERR_OUT_OF_MEMORY/)
})

test('no batch is larger than the images there are', () => {
  const { code } = train('--train-limit', '48', '--batch-size', 'auto', '--run-dir', 'few')
  assert.is(code, 0)
  assert.is(configOf('few').training.batchSize, 48)
})

test('an effective batch stays, in as many micro-batches as it takes', () => {
  const sizes = ['--batch-size', 'auto', '--effective-batch', '512', '--memory-limit', '80MiB']
  const { code, stderr } = train('--run', 'backprop,recompute=none', ...sizes, '--run-dir', 'micro')
  assert.is(code, 0, stderr)
  const { run, training } = configOf('micro')
  assert.is(training.batchSize, 512)
  assert.match(run, /^backprop,recompute=none,accumulate=(2|4|8|16)$/)
})

test('every change that is proposed fits', () => {
  const limit = ['--memory-limit', '60MiB']
  const spec = 'paper:2,recompute=none'
  const { code, stdout, stderr } = train(
    '--run',
    spec,
    '--batch-size',
    '256',
    ...limit,
    '--run-dir',
    'full',
    '--json',
  )
  assert.is(code, 1)
  assert.match(stderr, /What would fit/)
  const { error } = JSON.parse(stdout) as {
    error: { module: string; changes: Change[]; suggestions: string[] }
  }
  assert.match(error.module, /^module \d$/)
  assert.ok(error.changes.length > 1)
  assert.is(error.changes.length, error.suggestions.length)
  const [first] = error.changes as [Change]
  const again = train(
    '--run',
    first.run,
    '--batch-size',
    `${first.batchSize}`,
    ...limit,
    '--run-dir',
    'changed',
  )
  assert.is(again.code, 0, again.stderr)
})

test('nonsense is refused', () => {
  for (const [args, words] of [
    [['--batch-size', 'abc'], /training.batchSize/],
    [['--effective-batch', '64'], /goes with `--batch-size auto`/],
    [['--batch-size', 'auto', '--effective-batch', '100000'], /from 1 to 512, the images/],
  ] as [string[], RegExp][]) {
    const { code, stderr } = train(...args, '--run-dir', 'none')
    assert.is(code, 2, stderr)
    assert.match(stderr, words)
  }
  const { code, stderr } = train(
    '--batch-size',
    'auto',
    '--memory-limit',
    '4MiB',
    '--run-dir',
    'none',
  )
  assert.is(code, 1)
  assert.match(stderr, /No batch of paper:4 fits into 4.00 MiB/)
})

test.run()

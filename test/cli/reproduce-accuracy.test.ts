// reproduce accuracy as a user runs it: planned, trained, interrupted, gone on with.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-accuracy-'))
const SIZES = [
  ...['--datasets', 'synthetic', '--variant', 'micro', '--batch-size', '16'],
  ...['--train-limit', '32', '--test-limit', '16', '--device', 'cpu'],
]

test.after(() => rmSync(folder, { recursive: true, force: true }))

function accuracy(...args: readonly string[]) {
  const line = [CLI, 'reproduce', 'accuracy', ...SIZES, ...args]
  return spawnSync(process.execPath, line, { encoding: 'utf8', cwd: folder })
}

test('a dry run measures and trains nothing', () => {
  const args = ['--methods', 'greedy', '--epochs', '3', '--dry-run', '--json']
  const { status, stdout, stderr } = accuracy(...args)
  assert.is(status, 0, stderr)
  const { what, cells, directory } = JSON.parse(stdout)
  assert.is(what, 'accuracy-plan')
  assert.is(cells.length, 1)
  assert.is(cells[0].state, 'new')
  assert.ok(cells[0].estimate.seconds > 0 && cells[0].estimate.imagesPerSecond > 0)
  assert.not.ok(existsSync(directory))
})

test('a table is trained once, and printed again from what is there', () => {
  const runDir = path.join(folder, 'table')
  const args = ['--methods', 'greedy', '--epochs', '1', '--seeds', '2', '--run-dir', runDir]
  const { status, stdout, stderr } = accuracy(...args, '--json', '--output', 'table.md')
  assert.is(status, 0, stderr)
  const { rows, settings } = JSON.parse(stdout)
  assert.equal([settings.epochs, settings.trainLimit], [1, 32])
  const [row] = rows
  assert.is(row.seeds, 2)
  const values = row.outcomes.map((outcome: { accuracy: number }) => outcome.accuracy)
  assert.is(row.accuracy, (values[0] + values[1]) / 2)
  for (const { directory, accuracy: found, count } of row.outcomes) {
    const kept = JSON.parse(readFileSync(path.join(directory, 'evaluation.json'), 'utf8'))
    assert.equal([kept.accuracy, kept.count], [found, count])
    assert.is(count, 16)
    assert.ok(existsSync(path.join(directory, 'summary.json')))
  }
  assert.match(readFileSync(path.join(folder, 'table.md'), 'utf8'), '| `greedy:4,dtype=bfloat16` |')
  const again = accuracy(...args, '--json')
  assert.equal(JSON.parse(again.stdout).rows, rows)
  assert.not.match(again.stderr, 'Timing')
  const other = accuracy(...args.map((word) => (word === '1' ? '2' : word)))
  assert.is(other.status, 2)
  assert.match(other.stderr, 'another budget or other options')
})

test('Ctrl-C ends the run that trains too, with exit code 130 and how to go on', async () => {
  const runDir = path.join(folder, 'interrupted')
  const args = ['--methods', 'greedy', '--epochs', '500', '--run-dir', runDir]
  const child = spawn(process.execPath, [CLI, 'reproduce', 'accuracy', ...SIZES, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: folder,
  })
  let stderr = ''
  child.stderr.on('data', (data) => {
    stderr += data
    // It trains. A second signal would end it at once.
    if (/Epoch 1 /.test(stderr) && !child.killed) child.kill('SIGINT')
  })
  // Closed when every process that writes to it has ended.
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.on('close', (...end) => resolve(end))
  })
  assert.equal([code, signal], [130, null], stderr)
  assert.match(stderr, 'finished runs are kept, and the same command goes on')
  const cell = path.join(runDir, 'synthetic/greedy-4-dtype-bfloat16/seed-0')
  assert.ok(existsSync(path.join(cell, 'cell.json')))
  assert.not.ok(existsSync(path.join(cell, 'evaluation.json')))
})

test('bad usage is told before anything runs', () => {
  for (const [args, text] of [
    [['--methods', 'papr'], '`methods` but received "papr"'],
    [['--decoders', 'deep'], '`decoders` but received "deep"'],
    [['--seeds', '0'], '`seeds` but received 0'],
    [['--budget', 'day'], 'one of full, gpu-hour, cpu-hour'],
  ] as const) {
    const { status, stdout, stderr } = accuracy(...args)
    assert.is(status, 2, stderr)
    assert.is(stdout, '')
    assert.match(stderr, text)
  }
  const line = [CLI, 'reproduce', 'accuracy', '--datasets', 'cifar']
  const { status, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8', cwd: folder })
  assert.is(status, 2)
  assert.match(stderr, 'received "cifar"')
})

test.run()

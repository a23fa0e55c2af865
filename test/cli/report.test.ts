// `localformer report` as a user runs it: train writes a report, --timeline measures for it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun } from '../../lib/report/run-data.js'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-report-cli-'))
const directory = path.join(folder, 'run')

test.after(() => rmSync(folder, { recursive: true, force: true }))

function run(...args: readonly string[]) {
  const options = { encoding: 'utf8', cwd: folder } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], options)
  return { status, stdout, stderr }
}

function json(...args: readonly string[]) {
  const result = run(...args, '--json')
  assert.is(result.status, 0, result.stderr)
  return JSON.parse(result.stdout)
}

test('train leaves a complete report, with reconstructions and the memory of a step', async () => {
  const network = ['--dataset', 'synthetic', '--variant', 'micro', '--batch-size', '16']
  const length = ['--epochs', '2', '--train-limit', '48', '--test-limit', '32']
  const result = run('train', ...network, ...length, '--run', 'paper:4', '--run-dir', directory)
  assert.is(result.status, 0, result.stderr)
  // Not on a terminal: plain lines.
  assert.match(result.stderr, /^epoch 1 {2}step 1\/6 {2}16 % {2}loss( \d\.\d\d){4} /m)
  assert.not.match(result.stderr, '\u001b')
  const { steps, isDone, evaluations, timelines, reconstructions, modules } =
    await readRun(directory)
  assert.equal([steps, isDone, evaluations.length], [6, true, 2])
  assert.is(reconstructions?.epoch, 2)
  assert.equal(
    reconstructions?.panels.map(({ kind }) => kind),
    ['pixels', 'components', 'components'],
  )
  assert.is(timelines.length, 1)
  const highest = Math.max(...(timelines[0]?.points ?? []).map((p) => p.allocatedBytes))
  // A batch that is prepared meanwhile is in the peak, and not in the step's own timeline.
  const peak = Math.max(
    ...modules.flatMap((module) => module.peakAllocatedBytes.map(({ max }) => max)),
  )
  const batchBytes = 16 * 3 * 32 * 32
  assert.ok(highest <= peak && peak - highest <= 2 * batchBytes, `${highest} and ${peak}`)
  assert.match(readFileSync(path.join(directory, 'report.html'), 'utf8'), 'finished</span> run')
})

test('--timeline measures end to end beside the run, in fresh processes', async () => {
  const { report, runs } = json('report', directory, '--timeline')
  assert.is(report, path.join(directory, 'report.html'))
  assert.equal(runs, [directory])
  const { timelines } = await readRun(directory)
  assert.equal(
    timelines.map(({ spec, isFresh }) => [spec, isFresh]),
    [
      // As a configuration has it where its run spec does not say.
      ['backprop,recompute=selective', true],
      ['paper:4', true],
    ],
  )
  const [whole, local] = timelines.map(({ points }) =>
    Math.max(...points.map(({ allocatedBytes }) => allocatedBytes)),
  )
  assert.ok((local ?? 9e9) < (whole ?? 0), `${local} and ${whole}`)
  assert.match(readFileSync(report, 'utf8'), '% below end to end, one step')
})

test('--timeline measures with the optimizer of the run', async () => {
  const plain = path.join(folder, 'sgd')
  const args = ['--optimizer', 'sgd', '--momentum', '0', '--max-steps', '2', '--test-limit', '0']
  const size = ['--dataset', 'synthetic', '--variant', 'micro', '--batch-size', '8']
  json('train', ...size, ...args, '--run', 'paper:2', '--run-dir', plain)
  const own = await highestOf(plain)
  json('report', plain, '--timeline')
  const measured = await highestOf(plain)
  assert.ok(Math.abs(measured / own - 1) < 0.05, `${own} and ${measured}`)
})

test('--timeline measures with the recomputation of the run, where its spec does not say too', async () => {
  const plain = path.join(folder, 'selective')
  const args = ['--max-steps', '2', '--test-limit', '0', '--run', 'paper:2', '--run-dir', plain]
  json('train', '--dataset', 'synthetic', '--variant', 'micro', '--batch-size', '16', ...args)
  const own = await highestOf(plain)
  json('report', plain, '--timeline')
  const measured = await highestOf(plain)
  // But for batches that are prepared meanwhile; without recomputation it is five times as far off.
  const batchBytes = 16 * 3 * 32 * 32
  assert.ok(Math.abs(measured - own) <= 2 * batchBytes, `${own} and ${measured}`)
})

/** The peak of a run's own timeline, or of that which was measured as the run. */
async function highestOf(run: string): Promise<number> {
  const { timelines } = await readRun(run)
  return Math.max(...(timelines.at(-1)?.points ?? []).map((p) => p.allocatedBytes))
}

test('several runs go into one file', () => {
  const output = path.join(folder, 'both.html')
  assert.is(json('report', directory, directory, '--output', output).report, output)
  assert.ok(existsSync(output))
})

test('a file that cannot be written is told by its name', () => {
  const { status, stderr } = run(
    'report',
    directory,
    '--output',
    path.join(folder, 'none', 'a.html'),
  )
  assert.is(status, 2)
  assert.match(stderr, /none\/a\.html" of --output cannot be written: there is no folder .*none/)
})

test('a folder that is no run is a coded error', () => {
  const { status, stderr } = run('report', folder)
  assert.is(status, 2)
  assert.match(stderr, 'is no run folder [ERR_CONFIG]')
})

test.run()

// Snapshots of memory as a user writes and reads them.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SnapshotSummary } from '../../lib/measure/snapshot-summary.js'
import { documentIn } from '../helpers/snapshot-document.js'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-cli-memory-'))
const NETWORK = ['--dataset', 'synthetic', '--variant', 'micro', '--image-size', '32']
const COMPARE = ['compare', ...NETWORK, '--steps', '1']

test.after(() => rmSync(folder, { recursive: true, force: true }))

function cli(...args: readonly string[]) {
  return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', cwd: folder })
}

function done(...args: readonly string[]): { stdout: string; stderr: string } {
  const { status, stdout, stderr } = cli(...args)
  assert.is(status, 0, stderr)
  return { stdout, stderr }
}

function summarized(file: string): SnapshotSummary {
  return JSON.parse(done('memory', 'summarize', file, '--json').stdout)
}

for (const device of ['cpu', 'sim:rtx3060']) {
  test(`compare on ${device}: a snapshot for each run, whose peak is the row's`, () => {
    const runs = ['--run', 'backprop', '--run', 'paper:2', '--run', 'paper:2']
    const name = `${device.replace(':', '-')}.pickle`
    const { stdout, stderr } = done(
      ...[
        ...COMPARE,
        '--batch-size',
        '8',
        '--device',
        device,
        ...runs,
        '--memory-snapshot',
        name,
        '--json',
      ],
    )
    const { rows } = JSON.parse(stdout)
    const files = rows.map((row: { memorySnapshot: string }) => row.memorySnapshot)
    assert.equal(
      files.map((file: string) => path.basename(file)),
      ['backprop', 'paper-2', 'paper-2-3'].map((word) => name.replace('.', `-${word}.`)),
    )
    for (const row of rows) {
      assert.is(row.isSnapshotComplete, true)
      assert.match(stderr, `Memory snapshot ${row.memorySnapshot}`)
      const { by, isComplete, devices } = summarized(row.memorySnapshot)
      assert.is(by, 'localformer')
      assert.is(isComplete, true)
      const [first] = devices
      // Rounding of blocks is in the row alone.
      assert.ok((first?.peakBytes ?? 0) <= row.peakAllocatedBytes)
      assert.ok((first?.peakBytes ?? 0) > 0.9 * row.peakAllocatedBytes)
    }
    const table = done('memory', 'summarize', files[1], '--top', '3').stdout
    assert.match(table, 'module 2 (paper:2)')
    assert.match(table, /and \d+ more with/)
    assert.equal(
      readdirSync(folder).filter((file) => file.endsWith('.tmp')),
      [],
    )
  })
}

test('a run that is out of memory leaves a snapshot too', () => {
  const args = ['--run', 'backprop', '--memory-limit', '20MB', '--memory-snapshot', 'oom.pickle']
  const { stdout } = done(...COMPARE, '--device', 'cpu', ...args, '--batch-size', '512', '--json')
  const [row] = JSON.parse(stdout).rows
  assert.is(row.status, 'out_of_memory')
  assert.is(row.isSnapshotComplete, null)
  const [trace = []] = documentIn(path.join(folder, 'oom.pickle')).device_traces
  assert.ok(trace.some(({ action }) => action === 'oom'))
})

test('train: the snapshot of a run, and of one that fails', () => {
  const args = ['train', ...NETWORK, '--batch-size', '16', '--max-steps', '2', '--run', 'greedy:2']
  const { stderr } = done(...args, '--run-dir', 'run', '--memory-snapshot', 'run.pickle')
  assert.match(stderr, 'Memory snapshot run.pickle')
  const kinds = summarized('run.pickle').devices[0]?.groups.map(({ kind }) => kind)
  assert.ok(kinds?.includes('weights') && kinds.includes('activations'))
  assert.ok(documentIn(path.join(folder, 'run.pickle')).segments.length > 0)
  const limit = ['--memory-limit', '2MiB', '--memory-snapshot', 'failed.pickle']
  const failed = cli(...args, '--run-dir', 'failed', ...limit)
  assert.is(failed.status, 1, failed.stderr)
  assert.match(failed.stderr, 'ERR_OUT_OF_MEMORY')
  const [trace = []] = documentIn(path.join(folder, 'failed.pickle')).device_traces
  assert.ok(trace.some(({ action }) => action === 'oom'))
})

test('what cannot be written is told before anything is run', () => {
  for (const command of [COMPARE.concat('--run', 'backprop'), ['train', ...NETWORK]]) {
    const { status, stderr } = cli(...command, '--memory-snapshot', 'none/x.pickle')
    assert.is(status, 2, stderr)
    assert.match(stderr, '--memory-snapshot')
    assert.not.ok(existsSync(path.join(folder, 'runs')))
  }
})

test('what is no snapshot, or a damaged one, is told', () => {
  writeFileSync(path.join(folder, 'text'), 'no pickle')
  const bytes = readFileSync(path.join(folder, 'run.pickle'))
  writeFileSync(path.join(folder, 'cut'), bytes.subarray(0, bytes.length / 2))
  for (const [args, part] of [
    [['text'], 'does not begin as a pickle'],
    [['cut'], 'ends in the midst'],
    [['missing'], 'ENOENT'],
    [['.'], 'it is a folder'],
    [['run.pickle', '--top', '0'], '`top`'],
  ] as const) {
    const { status, stderr, stdout } = cli('memory', 'summarize', ...args)
    assert.is(status, 2, stderr)
    assert.is(stdout, '')
    assert.match(stderr, part)
  }
  assert.is(cli('memory').status, 2)
})

test.run()

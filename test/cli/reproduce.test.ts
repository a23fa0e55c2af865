// reproduce as a user runs it, on synthetic images with a tiny network.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MEMORY_RUNS, notesOf } from '../../lib/measure/reproduce.js'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-reproduce-'))
const NETWORK = ['--dataset', 'synthetic', '--variant', 'micro', '--image-size', '32']

test.after(() => rmSync(folder, { recursive: true, force: true }))

function reproduce(...args: readonly string[]) {
  return spawnSync(process.execPath, [CLI, 'reproduce', ...args], {
    encoding: 'utf8',
    cwd: folder,
  })
}

test('memory measures every run and says what each saves', () => {
  const { status, stdout, stderr } = reproduce(
    ...['memory', '--quick', ...NETWORK, '--device', 'cpu', '--json', '--output', 'memory.md'],
  )
  assert.is(status, 0, stderr)
  const { schema, machine, claims, notes, comparison } = JSON.parse(stdout)
  assert.is(schema, 1)
  assert.equal(notes, notesOf(comparison))
  assert.is(comparison.batchSize, 8)
  assert.is(comparison.steps, 1)
  assert.is(machine.gpu, null)
  assert.is(machine.libtorch, comparison.versions.libtorch)
  const specs = comparison.rows.map((row: { spec: string }) => row.spec)
  assert.equal(specs, [...MEMORY_RUNS])
  const peaks = new Map<string, number>()
  const reserved = new Map<string, number>()
  for (const row of comparison.rows) {
    assert.is(row.status, 'ok', row.spec)
    assert.type(row.savedVsFirst, 'number', row.spec)
    assert.is(row.perModule.length, row.modules, row.spec)
    peaks.set(row.spec, row.peakAllocatedBytes)
    reserved.set(row.spec, row.peakReservedBytes)
  }
  for (const { run, against, measured, measuredReserved, quoted } of claims) {
    assert.is(measured, 1 - (peaks.get(run) ?? 0) / (peaks.get(against) ?? 0), run)
    assert.is(measuredReserved, 1 - (reserved.get(run) ?? 0) / (reserved.get(against) ?? 0), run)
    // The paper's figures are for Swin-Tiny, not for this network.
    assert.is(quoted, null)
  }
  const markdown = readFileSync(path.join(folder, 'memory.md'), 'utf8')
  for (const spec of MEMORY_RUNS) assert.match(markdown, `| \`${spec}\` | `)
})

test('an option that is given counts more than --quick', () => {
  const args = ['memory', '--quick', ...NETWORK, '--batch-size', '0']
  const { status, stderr } = reproduce(...args)
  assert.is(status, 2)
  assert.match(stderr, '`batchSize` but received 0')
})

test('other claims are bad usage, answered with those there are', () => {
  const { status, stderr } = reproduce('speed')
  assert.is(status, 2)
  assert.match(stderr, 'speed')
  assert.match(stderr, 'Commands: memory, accuracy')
  assert.match(reproduce().stderr, 'Expected memory or accuracy after `reproduce`')
})

test('JSON and Markdown cannot both be what is printed', () => {
  const { status, stdout } = reproduce('memory', '--json', '--markdown')
  assert.is(status, 2)
  assert.is(JSON.parse(stdout).error.code, 'ERR_USAGE')
})

test.run()

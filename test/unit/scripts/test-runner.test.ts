// The test runner's own logic: what a test file's process left behind -> counts.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isChosen, testFiles } from '../../../scripts/lib/test-files.js'
import { runProcess } from '../../../scripts/lib/test-process.js'
import {
  add,
  type Ended,
  exitCodeOf,
  judge,
  NOTHING,
  parseUvu,
  summaryLine,
} from '../../../scripts/lib/test-results.js'
import { isRunning } from '../../helpers/processes.js'

function summary(total: number, passed: number, skipped: number): string {
  return `• •   (${passed} / ${total})\n\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  3.14ms\n\n`
}

function ended(changes: Partial<Ended> = {}): Ended {
  return { code: 0, signal: null, output: summary(3, 3, 0), ...changes }
}

test('reads uvu counts with and without colours', () => {
  assert.equal(parseUvu(summary(5, 4, 1)), { total: 5, passed: 4, skipped: 1 })
  const colored = '\n  Total:     2\u001b[32m\n  Passed:    2\u001b[39m\n  Skipped:   0\n'
  assert.equal(parseUvu(colored), { total: 2, passed: 2, skipped: 0 })
  assert.is(parseUvu('Exiting early before testing is finished.\n'), undefined)
})

test('takes the last summary, since a test may print one of its own', () => {
  assert.equal(parseUvu(summary(9, 9, 9) + summary(2, 1, 0)), { total: 2, passed: 1, skipped: 0 })
})

test('a file that passes counts its tests', () => {
  assert.equal(judge(ended()), { passed: 3, failed: 0, skipped: 0 })
  const skipping = judge(ended({ output: summary(2, 2, 4) }))
  assert.equal(skipping, { passed: 2, failed: 0, skipped: 4 })
})

test('a file whose tests fail counts those, whatever its exit code', () => {
  for (const code of [0, 1]) {
    const verdict = judge(ended({ code, output: summary(5, 3, 0) }))
    assert.equal(verdict, { passed: 3, failed: 2, skipped: 0 })
  }
})

const BROKEN: Record<string, [Partial<Ended>, string]> = {
  'a crash before the counts': [
    { code: 134, output: 'abort' },
    'printed no counts (exit code 134)',
  ],
  'an exit before the counts': [{ code: 0, output: '' }, 'printed no counts (exit code 0)'],
  'a signal': [{ code: null, signal: 'SIGSEGV', output: '' }, 'ended by SIGSEGV'],
  'a time-out': [{ code: null, signal: 'SIGKILL', timedOutAfter: 9 }, 'took longer than 9 s'],
  'a crash after the tests': [{ code: 139 }, 'exit code 139 after its tests'],
  'a process that is left': [{ leftProcesses: true }, 'left processes running'],
  'no tests at all': [{ output: summary(0, 0, 0) }, 'has no tests'],
}
for (const [name, [changes, reason]] of Object.entries(BROKEN)) {
  test(`counts as failed: ${name}`, () => {
    const verdict = judge(ended(changes))
    assert.is(verdict.failed, 1)
    assert.is(verdict.reason, reason)
  })
}

test('the last line and the exit code', () => {
  const counts = add({ passed: 3, failed: 0, skipped: 1 }, { passed: 2, failed: 0, skipped: 0 })
  assert.is(summaryLine(counts), '5 passed, 0 failed, 1 skipped')
  assert.is(exitCodeOf(counts), 0)
  assert.is(exitCodeOf({ ...counts, failed: 1 }), 1)
  assert.is(exitCodeOf(NOTHING), 1)
  assert.is(exitCodeOf({ ...NOTHING, skipped: 5 }), 1)
})

test('a filter names a file, a gate or a part of a name', () => {
  assert.ok(isChosen('unit/libtorch-elf', []))
  assert.ok(isChosen('unit/libtorch-elf', ['cli', 'unit/libtorch']))
  assert.ok(isChosen('unit/libtorch-elf', ['test/unit/libtorch-elf.test.ts']))
  assert.ok(isChosen('unit/libtorch-elf', ['./dist/test/unit/libtorch-elf.test.js']))
  assert.not(isChosen('unit/libtorch-elf', ['cli']))
})

test('the sources name the files: a compiled one without a source never runs', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'localformer-runner-'))
  try {
    mkdirSync(path.join(root, 'test', 'unit', 'deep'), { recursive: true })
    mkdirSync(path.join(root, 'dist', 'test', 'unit'), { recursive: true })
    for (const file of ['b.test.ts', 'deep/a.test.ts', 'helper.ts']) {
      writeFileSync(path.join(root, 'test', 'unit', file), '')
    }
    writeFileSync(path.join(root, 'dist', 'test', 'unit', 'stale.test.js'), '')
    const files = testFiles(root, 'unit')
    assert.equal(
      files.map(({ name }) => name),
      ['unit/b', 'unit/deep/a'],
    )
    assert.is(files[0]?.script, path.join(root, 'dist', 'test', 'unit', 'b.test.js'))
    assert.equal(testFiles(root, 'gpu'), [])
  } finally {
    rmSync(root, { recursive: true })
  }
})

const run = (code: string, timeoutSeconds = 60) =>
  runProcess(process.execPath, ['-e', code], { cwd: tmpdir(), timeoutSeconds })

test('a process ends with its output, exit code or signal', async () => {
  const plain = await run('console.log("out"); console.error("err"); process.exitCode = 3')
  assert.is(plain.code, 3)
  assert.match(plain.output, /out/)
  assert.match(plain.output, /err/)
  assert.is((await run('process.kill(process.pid, "SIGABRT")')).signal, 'SIGABRT')
  const missing = await runProcess('/no/such/program', [], { cwd: tmpdir(), timeoutSeconds: 9 })
  assert.is(judge(missing).failed, 1)
})

test('a process that takes too long is stopped', async () => {
  const ended = await run('console.log("begun"); setInterval(() => {}, 1000)', 2)
  assert.is(ended.timedOutAfter, 2)
  assert.match(ended.output, /begun/)
})

test('what a process leaves running is stopped and told', async () => {
  const ended = await run(
    'const child = require("child_process").spawn("sleep", ["600"], { stdio: "inherit" });' +
      'console.log(child.pid); child.unref()',
  )
  assert.is(ended.leftProcesses, true)
  await delay(100)
  assert.not(isRunning(Number(ended.output.trim())))
})

test.run()

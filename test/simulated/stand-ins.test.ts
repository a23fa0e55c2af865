// The stand-ins by themselves, built from their sources with a program that uses them, under sanitizers.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test as plain } from 'uvu'
import * as assert from 'uvu/assert'
import { DIST, runProgram } from '../helpers/child.js'

const ROOT = path.dirname(DIST)
const SOURCES = ['card', 'calls', 'order', 'cudart', 'driver', 'cublas', 'cublaslt', 'cudnn']
const COMPILER = [process.env.CC, 'cc', 'gcc', 'clang'].find(
  (name) => name && spawnSync(name, ['--version']).status === 0,
)
const canFix = spawnSync('setarch', ['-R', 'true']).status === 0

if (COMPILER === undefined) console.log('SKIP: there is no C compiler')
const test = COMPILER === undefined ? plain.skip : plain

for (const sanitizers of ['address,undefined', 'thread']) {
  test(`memory, order, counts and faults, with -fsanitize=${sanitizers}`, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'localformer-stand-ins-'))
    try {
      const program = path.join(folder, 'stand_ins')
      const sources = SOURCES.map((name) => path.join(ROOT, 'native/simulated', `${name}.c`))
      const built = await runProgram(COMPILER as string, [
        ...['-std=c11', '-g', '-O1', `-fsanitize=${sanitizers}`, '-fno-sanitize-recover=all'],
        ...[`-I${path.join(ROOT, 'native/simulated')}`],
        ...[path.join(ROOT, 'test/simulated/stand_ins.c'), ...sources],
        ...['-o', program, '-ldl', '-lpthread'],
      ])
      assert.is(built.code, 0, built.stderr)
      // Older ThreadSanitizers do not stand the address randomization of Linux 6.
      const ended = canFix
        ? await runProgram('setarch', ['-R', program])
        : await runProgram(program, [])
      assert.is(ended.code, 0, ended.stderr)
      assert.match(ended.stderr, 'an event is missing')
      assert.is(ended.stderr.split('cudaGraphLaunch is not simulated').length, 2, 'said once')
      assert.not.match(ended.stderr, /Sanitizer|runtime error/)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
}

plain.run()

// The CPU's own loops over buffers of exactly the size that they need, in every instruction set that this
// processor has, under AddressSanitizer and UndefinedBehaviorSanitizer.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT } from '../../scripts/lib/script.js'
import { runs } from '../../scripts/lib/toolchain.js'
import { runProgram } from '../helpers/child.js'

interface InstructionSet {
  readonly needs: readonly string[]
  readonly flags: readonly string[]
}

const AVX512: InstructionSet = {
  needs: ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl'],
  flags: ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma'],
}

const SETS: Readonly<Record<string, InstructionSet>> = {
  plain: { needs: [], flags: [] },
  avx2: { needs: ['avx2', 'fma'], flags: ['-mavx2', '-mfma'] },
  avx512: AVX512,
  avx512_bf16: {
    needs: [...AVX512.needs, 'avx512_bf16'],
    flags: [...AVX512.flags, '-mavx512bf16'],
  },
}

const SANITIZERS = '-fsanitize=address,undefined'
const compiler = [process.env.CXX, 'g++', 'clang++'].find((name) => name && runs(name))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-kernels-'))
const reason =
  compiler === undefined
    ? 'there is no C++ compiler'
    : runs(compiler, [SANITIZERS, '-x', 'c++', '-c', '/dev/null', '-o', path.join(folder, 'empty')])
      ? undefined
      : `${compiler} has no sanitizers`
const processor = new Set(
  /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' '),
)

for (const [set, { needs, flags }] of Object.entries(SETS)) {
  const lacking = reason ?? needs.find((flag) => !processor.has(flag))
  if (lacking !== undefined) console.log(`skipped: ${reason ?? `the processor has no ${lacking}`}`)
  const one = lacking === undefined ? test : test.skip
  one(`no loop of ${set} steps beyond its buffers`, async () => {
    const program = path.join(folder, set)
    const sources = [
      'test/native/kernel_stress/kernel_stress.cc',
      'native/core/kernels/vector_kernels.cc',
    ]
    const built = await runProgram(compiler as string, [
      ...['-std=c++17', '-O1', '-ffp-contract=fast', '-fno-math-errno', ...flags],
      ...[SANITIZERS, '-fno-sanitize-recover=all', `-DLOCALFORMER_VECTOR=vector_${set}`],
      ...['-I', path.join(ROOT, 'native/core'), ...sources.map((name) => path.join(ROOT, name))],
      ...['-o', program],
    ])
    assert.is(built.code, 0, built.stderr)
    const { code, stdout, stderr } = await runProgram(program, [])
    assert.is(code, 0, stderr)
    assert.is(stdout, 'ok\n')
  })
}

test.after(() => rmSync(folder, { recursive: true, force: true }))

test.run()

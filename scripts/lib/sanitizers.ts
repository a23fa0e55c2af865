// The allocator's stress test under AddressSanitizer and ThreadSanitizer: one counted test each.
// Builds test/native/memory_stress as its README says, into build/memory-<sanitizer>.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { runProcess } from './test-process.js'
import { type Ended, NOTHING, type Verdict } from './test-results.js'
import { runs } from './toolchain.js'

export const SANITIZERS = ['address', 'thread'] as const

export type Sanitizer = (typeof SANITIZERS)[number]

export interface StressOutcome extends Verdict {
  readonly output: string
  /** Why it was skipped. */
  readonly skipReason?: string
}

const BUILD_SECONDS = 600
const RUN_SECONDS = 600

export function stressName(sanitizer: Sanitizer): string {
  return `native stress (${sanitizer})`
}

/** Builds and runs the stress test; skipped where it or a compiler for it is missing. */
export async function runStress(
  root: string,
  sanitizer: Sanitizer,
  libtorchRoot: string,
): Promise<StressOutcome> {
  const source = path.join(root, 'test', 'native', 'memory_stress')
  const skipReason = existsSync(path.join(source, 'CMakeLists.txt'))
    ? reasonToSkip(sanitizer)
    : 'test/native/memory_stress is not there'
  if (skipReason !== undefined) return { ...NOTHING, skipped: 1, output: '', skipReason }
  const build = path.join(root, 'build', `memory-${sanitizer}`)
  const steps: [string, string[], number][] = [
    [
      'cmake',
      ['-S', source, '-B', build, `-DLIBTORCH_ROOT=${libtorchRoot}`, `-DSANITIZER=${sanitizer}`],
      BUILD_SECONDS,
    ],
    ['cmake', ['--build', build], BUILD_SECONDS],
    [...launcher(sanitizer, path.join(build, 'memory_stress')), RUN_SECONDS],
  ]
  for (const [command, args, timeoutSeconds] of steps) {
    const ended = await runProcess(command, args, { cwd: root, timeoutSeconds })
    const reason = reasonToFail(ended)
    const what = [path.basename(command), ...args].join(' ')
    if (reason) return { ...NOTHING, failed: 1, reason: `${what}: ${reason}`, output: ended.output }
  }
  return { ...NOTHING, passed: 1, output: '' }
}

function reasonToFail(ended: Ended): string | undefined {
  if (ended.timedOutAfter !== undefined) return `took longer than ${ended.timedOutAfter} s`
  if (ended.signal !== null) return `ended by ${ended.signal}`
  return ended.code === 0 ? undefined : `exit code ${ended.code}`
}

/** Older ThreadSanitizers do not stand the address randomization of Linux 6; `setarch -R` ends it. */
function launcher(sanitizer: Sanitizer, program: string): [string, string[]] {
  const canFix = sanitizer === 'thread' && runs('setarch', ['-R', 'true'])
  return canFix ? ['setarch', ['-R', program]] : [program, []]
}

/** Compiles and runs an empty program with the compiler that CMake would take. */
function reasonToSkip(sanitizer: Sanitizer): string | undefined {
  const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find((name) => name && runs(name))
  if (!compiler) return 'there is no C++ compiler'
  if (!runs('cmake')) return 'there is no CMake'
  const folder = mkdtempSync(path.join(tmpdir(), 'localformer-sanitizer-'))
  try {
    const [source, program] = [path.join(folder, 'empty.cc'), path.join(folder, 'empty')]
    writeFileSync(source, 'int main() { return 0; }\n')
    const args = [`-fsanitize=${sanitizer}`, source, '-o', program]
    if (!runs(compiler, args)) return `${compiler} has no ${sanitizer} sanitizer`
    const [command, rest] = launcher(sanitizer, program)
    return spawnSync(command, rest, { stdio: 'ignore' }).status === 0
      ? undefined
      : `a program with the ${sanitizer} sanitizer does not run here`
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

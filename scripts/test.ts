// The runner behind `npm test [-- FILTER...]`: sets up what the tests need (LibTorch, the addon),
// runs each test file in a process of its own and counts from what uvu printed there.
// Last line: `N passed, N failed, N skipped`. Exit code 1 when anything failed or nothing ran.
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import type { LibtorchLocation } from '../lib/libtorch/locate.js'
import { nvidiaDevice } from '../lib/native/load.js'
import { buildNative, describeOmission } from './build-native.js'
import { runStress, SANITIZERS, stressName } from './lib/sanitizers.js'
import { describeError, isEntryPoint, ROOT, runScript } from './lib/script.js'
import { GATES, type Gate, isChosen, type TestFile, testFiles } from './lib/test-files.js'
import { killAll, runProcess } from './lib/test-process.js'
import {
  add,
  type Counts,
  exitCodeOf,
  judge,
  NOTHING,
  summaryLine,
  type Verdict,
} from './lib/test-results.js'

/** A file that takes longer is stopped and counts as failed. */
const TIMEOUT_SECONDS: Readonly<Record<Gate, number>> = {
  unit: 120,
  native: 900,
  simulated: 900,
  cli: 900,
  process: 900,
  faults: 900,
  browser: 300,
  gpu: 900,
}

/** Prints each result when it comes and adds up. */
class Report {
  counts: Counts = NOTHING
  readonly #failed: string[] = []

  add(name: string, verdict: Verdict, seconds?: number, output = ''): void {
    this.counts = add(this.counts, verdict)
    const isFailed = verdict.failed > 0
    if (isFailed) this.#failed.push(name)
    const state = isFailed ? 'FAIL' : verdict.passed > 0 ? 'ok  ' : 'skip'
    const time = seconds === undefined ? '' : `  ${seconds.toFixed(1)} s`
    const reason = verdict.reason === undefined ? '' : `: ${verdict.reason}`
    print(`${state}  ${name}  ${describeCounts(verdict)}${reason}${time}`)
    if (isFailed && output.trim() !== '') print(indent(output))
  }

  fail(name: string, reason: string): void {
    this.add(name, { ...NOTHING, failed: 1, reason })
  }

  skip(name: string, reason: string): void {
    this.add(name, { ...NOTHING, skipped: 1, reason })
  }

  finish(): number {
    const { passed, failed, skipped } = this.counts
    if (passed + failed + skipped === 0) print('Nothing ran: no test file matches')
    if (this.#failed.length > 0) print(`\nFailed:\n${indent(this.#failed.join('\n'))}`)
    print(`\n${summaryLine(this.counts)}`)
    return exitCodeOf(this.counts)
  }
}

class TestRun {
  readonly #filters: readonly string[]
  readonly #report = new Report()
  #libtorch: LibtorchLocation | undefined
  #isSetUp: boolean | undefined

  constructor(filters: readonly string[]) {
    this.#filters = filters
  }

  async run(): Promise<number> {
    for (const gate of GATES) {
      const files = testFiles(ROOT, gate).filter(({ name }) => isChosen(name, this.#filters))
      if (files.length > 0) await this.#runGate(gate, files)
      else if (this.#filters.length === 0) this.#reportEmpty(gate)
      if (gate === 'native') await this.#runStressTests()
    }
    return this.#report.finish()
  }

  async #runGate(gate: Gate, files: readonly TestFile[]): Promise<void> {
    if (gate !== 'unit' && !(await this.#setUp())) {
      for (const { name } of files) this.#report.fail(name, 'not run, the set-up failed')
      return
    }
    const skipReason = gate === 'gpu' ? this.#reasonToSkipGpu() : undefined
    if (skipReason !== undefined) {
      for (const { name } of files) this.#report.skip(name, skipReason)
      return
    }
    // Unit tests load no addon; the others want the processor for themselves.
    const width = gate === 'unit' ? Math.min(2, availableParallelism()) : 1
    const queue = [...files]
    const worker = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) await this.#runFile(next)
    }
    await Promise.all(Array.from({ length: width }, worker))
  }

  async #runFile({ gate, name, script }: TestFile): Promise<void> {
    if (!existsSync(script)) return this.#report.fail(name, 'is not compiled (`npm run compile`)')
    const startedAt = performance.now()
    const args = ['--enable-source-maps', script]
    const timeoutSeconds = TIMEOUT_SECONDS[gate]
    const ended = await runProcess(process.execPath, args, { cwd: ROOT, timeoutSeconds })
    const seconds = (performance.now() - startedAt) / 1000
    this.#report.add(name, judge(ended), seconds, ended.output)
  }

  /** LibTorch and the addon, once; what fails here counts as one failed test. */
  async #setUp(): Promise<boolean> {
    if (this.#isSetUp !== undefined) return this.#isSetUp
    try {
      const result = await buildNative()
      const { libtorch, output } = result
      this.#libtorch = libtorch
      print(
        `LibTorch ${libtorch.version} (${libtorch.flavor}), addon in ${output}\n${describeOmission(result)}`.trimEnd(),
      )
      this.#isSetUp = true
    } catch (error) {
      this.#report.fail('set-up', describeError(error))
      this.#isSetUp = false
    }
    return this.#isSetUp
  }

  async #runStressTests(): Promise<void> {
    for (const sanitizer of SANITIZERS) {
      const name = stressName(sanitizer)
      if (!isChosen(name, this.#filters)) continue
      if (!(await this.#setUp()) || !this.#libtorch) {
        this.#report.fail(name, 'not run, the set-up failed')
        continue
      }
      const startedAt = performance.now()
      const outcome = await runStress(ROOT, sanitizer, this.#libtorch.root)
      const seconds = (performance.now() - startedAt) / 1000
      if (outcome.skipReason !== undefined) this.#report.skip(name, outcome.skipReason)
      else this.#report.add(name, outcome, seconds, outcome.output)
    }
  }

  #reportEmpty(gate: Gate): void {
    const reason = `test/${gate} holds no test files`
    if (gate === 'gpu') this.#report.skip(gate, reason)
    else this.#report.fail(gate, reason)
  }

  #reasonToSkipGpu(): string | undefined {
    if (!nvidiaDevice()) return 'there is no CUDA device'
    if (this.#libtorch?.flavor !== 'cuda')
      return "the LibTorch that is found is without NVIDIA's libraries"
    return undefined
  }
}

function describeCounts({ passed, failed, skipped }: Counts): string {
  const parts = [
    passed > 0 && `${passed} passed`,
    failed > 0 && `${failed} failed`,
    skipped > 0 && `${skipped} skipped`,
  ]
  return parts.filter(Boolean).join(', ')
}

function indent(text: string): string {
  return text.trimEnd().replace(/^(?=.)/gm, '      ')
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function main(): Promise<number> {
  const { positionals } = parseArgs({ allowPositionals: true, options: {} })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      killAll()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  return new TestRun(positionals).run()
}

if (isEntryPoint(import.meta.url)) await runScript('test', main)

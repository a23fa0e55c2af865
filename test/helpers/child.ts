// Scripts in processes of their own: what they printed and how they ended.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Root of the compiled tree, `dist`. */
export const DIST = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

/** A script of test/process/fixtures. */
export function fixture(name: string): string {
  return path.join(DIST, 'test/process/fixtures', `${name}.js`)
}

/** One that takes longer hangs. */
const MOST_MS = 120_000

/**
 * Runs `node` with these arguments to its end. One that hangs is killed after two minutes, or after
 * `milliseconds`, which shows as a signal.
 */
export function run(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
  milliseconds = MOST_MS,
): Promise<Ended> {
  return runProgram(process.execPath, args, environment, milliseconds)
}

/** The same of any program. */
export function runProgram(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
  milliseconds = MOST_MS,
): Promise<Ended> {
  return startProgram(program, args, environment, milliseconds).ended
}

/** A program under way: its process, what it has said on standard error so far, how it ends. */
export interface Running {
  readonly child: ChildProcess
  readonly stderr: () => string
  readonly ended: Promise<Ended>
}

export function startProgram(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  milliseconds: number,
): Running {
  const child = spawn(program, args, {
    env: { ...process.env, OMP_NUM_THREADS: '1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: milliseconds,
    killSignal: 'SIGKILL',
  })
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
    })
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, ...output }))
  })
  return { child, stderr: () => output.stderr, ended }
}

/** Libraries of LibTorch and of the addon that are mapped into this process. */
export function loadedLibraries(): string[] {
  const names = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .map((line) => path.basename(line.split(/\s+/)[5] ?? ''))
  return [...new Set(names)].filter((name) => /torch|libc10|localformer|libgomp/.test(name))
}

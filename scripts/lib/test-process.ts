// Runs one program of a test run in a process group of its own: output caught, time limited, and
// nothing of it left running afterwards.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Ended } from './test-results.js'

export interface RunOptions {
  readonly timeoutSeconds: number
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv | undefined
}

/** Between a process's end and that of its output: time for its last words to arrive. */
const LAST_WORDS_MS = 3000
/** Of an endless output the beginning and the end are kept, so many characters each. */
const KEPT_CHARACTERS = 1_000_000

const running = new Set<ChildProcess>()

export async function runProcess(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<Ended> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  running.add(child)
  const output = new Output()
  child.stdout.setEncoding('utf8').on('data', (text: string) => output.add(text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => output.add(text))
  const state = { isOver: false, isStopped: false, leftProcesses: false }
  const limit = setTimeout(() => {
    state.isStopped = !state.isOver
    killGroup(child)
  }, options.timeoutSeconds * 1000)
  let lastWords: NodeJS.Timeout | undefined
  try {
    return await new Promise<Ended>((resolve) => {
      child.on('error', (error) => output.add(`${error.message}\n`))
      child.on('exit', () => {
        state.isOver = true
        lastWords = setTimeout(() => {
          state.leftProcesses = true
          killGroup(child)
          // One that left the group still holds the pipes: they are not waited for.
          child.stdout.destroy()
          child.stderr.destroy()
        }, LAST_WORDS_MS)
      })
      child.on('close', (code, signal) =>
        resolve({
          code,
          signal,
          timedOutAfter: state.isStopped ? options.timeoutSeconds : undefined,
          leftProcesses: state.leftProcesses,
          output: output.text(),
        }),
      )
    })
  } finally {
    clearTimeout(limit)
    clearTimeout(lastWords)
    running.delete(child)
  }
}

/** Ends whatever still runs, e.g. when the run itself is interrupted. */
export function killAll(): void {
  for (const child of running) killGroup(child)
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The group has ended.
  }
}

class Output {
  #head = ''
  #tail = ''
  #dropped = 0

  add(text: string): void {
    if (this.#head.length < KEPT_CHARACTERS) {
      this.#head += text
      return
    }
    this.#tail += text
    const excess = this.#tail.length - KEPT_CHARACTERS
    // Cut now and then, not with every chunk.
    if (excess < KEPT_CHARACTERS) return
    this.#tail = this.#tail.slice(excess)
    this.#dropped += excess
  }

  text(): string {
    const gap = this.#dropped ? `\n... ${this.#dropped} characters left out ...\n` : ''
    return `${this.#head}${gap}${this.#tail}`
  }
}

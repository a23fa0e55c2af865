// Processes that keep a core busy each, for as long as something is measured beside them.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/** Looks up now and then: it ends with the process that started it, however that ended. */
const PROGRAM = `
const spin = () => {
  for (const end = Date.now() + 100; Date.now() < end; );
  setImmediate(spin)
}
process.stdin.on('close', () => process.exit()).resume()
spin()
`

export interface Busy extends AsyncDisposable {
  /** Of the processes. */
  readonly pids: readonly number[]
  /** How many have not begun, or have ended by themselves. */
  lost(): number
}

/** Disposed of, they are ended, and have ended. */
export function keepBusy(processes: number): Busy {
  const children = Array.from({ length: processes }, () =>
    spawn(process.execPath, ['-e', PROGRAM], { stdio: ['pipe', 'ignore', 'inherit'] }),
  )
  // One that cannot be started has no id; it is lost like one that has ended.
  for (const child of children) child.on('error', () => {})
  const lives = ({ pid, exitCode, signalCode }: ChildProcess) =>
    pid !== undefined && exitCode === null && signalCode === null
  return {
    pids: children.flatMap(({ pid }) => pid ?? []),
    lost: () => children.filter((child) => !lives(child)).length,
    async [Symbol.asyncDispose]() {
      await Promise.all(
        children.map(async (child) => {
          if (!lives(child)) return
          const ended = once(child, 'exit')
          child.kill('SIGKILL')
          await ended
        }),
      )
    },
  }
}

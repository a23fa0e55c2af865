// `localformer` from `localformer`: a command in a fresh process, with its JSON document as result.
import { spawn } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import type { CommandResult } from '../measure/cells.js'

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url))

/**
 * Runs a command with `--json`; what it says on standard error comes through. The signal asks it to
 * stop as Ctrl-C does and waits until it has; when this process ends first, so does the command.
 *
 * @throws the signal's reason when it aborted.
 */
export function runCommand(args: readonly string[], signal: AbortSignal): Promise<CommandResult> {
  signal.throwIfAborted()
  // In a group of its own: Ctrl-C on a terminal reaches it once, through us, and not twice.
  const child = spawn(process.execPath, [MAIN, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  const interrupt = () => child.kill('SIGINT')
  const end = () => child.kill('SIGKILL')
  signal.addEventListener('abort', interrupt)
  process.on('exit', end)
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  return new Promise<CommandResult>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, killedBy) => {
      signal.removeEventListener('abort', interrupt)
      process.off('exit', end)
      if (signal.aborted) reject(signal.reason)
      else resolve(resultOf(stdout, code, killedBy))
    })
  })
}

function resultOf(stdout: string, code: number | null, killedBy: string | null): CommandResult {
  const document = parse(stdout)
  if (code === 0 && document !== undefined) return { status: 'ok', document }
  const error = document?.error as { code: string | null; message: string } | undefined
  if (error !== undefined) return { status: 'failed', ...error }
  const how = killedBy === null ? `exit code ${code}` : `signal ${killedBy}`
  return { status: 'failed', code: null, message: `its process ended with ${how}` }
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

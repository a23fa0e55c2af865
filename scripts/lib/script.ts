// What every script shares: where the repository is, its one error, and how a script ends.
import { realpathSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { LocalformerError } from '../../lib/base/errors.js'
import { exitCodeOf } from '../../lib/cli/command.js'

/** The repository's root, seen from dist/scripts/lib. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..', '..')

/** Something a script cannot go on with; `hint` says what to do. Printed without a stack. */
export class ScriptError extends Error {
  readonly hint: string | undefined

  constructor(message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.name = 'ScriptError'
    this.hint = options.hint
  }
}

/** An error as it reads for the one who ran a script. */
export function describeError(error: unknown): string {
  if (error instanceof ScriptError || error instanceof LocalformerError) {
    return error.hint ? `${error.message}\n${error.hint}` : error.message
  }
  if (isOfArguments(error)) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** Whether the module was started by `node FILE`, and not imported. */
export function isEntryPoint(moduleUrl: string): boolean {
  const started = process.argv[1]
  return started !== undefined && realpathSync(started) === fileURLToPath(moduleUrl)
}

/** Runs a script's main function; its error becomes a message and the exit code that a command has for it. */
export async function runScript(name: string, main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main()
  } catch (error) {
    process.stderr.write(`${name}: ${describeError(error)}\n`)
    process.exitCode = isOfArguments(error) ? 2 : exitCodeOf(error)
  }
}

/** What Node's parseArgs says of arguments that it does not know. */
function isOfArguments(error: unknown): error is NodeJS.ErrnoException {
  if (!(error instanceof TypeError)) return false
  const { code } = error as NodeJS.ErrnoException
  return code?.startsWith('ERR_PARSE_ARGS_') ?? false
}

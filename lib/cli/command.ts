// What a command module is, and the helpers that every command shares: parse -> one library call
// -> print. A command writes its result to standard output and all else to standard error.
import type { CommandModule } from 'yargs'
import { LocalformerError } from '../base/errors.js'

/** Options that every command takes. */
export interface GlobalOptions {
  json: boolean
  quiet: boolean
  /** cpu, cuda, cuda:N or auto; checked before a command runs. */
  device: string
  /** The same where it was given. */
  givenDevice?: string | undefined
}

export type Command<T> = CommandModule<GlobalOptions, GlobalOptions & T>

let isJsonPrinted = false

/** Prints the one JSON document of a command; what fails after it is told on standard error alone. */
export function printJson(document: unknown): void {
  if (isJsonPrinted) return
  isJsonPrinted = true
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
}

/** Prints a line of a result meant for people. */
export function printLine(line = ''): void {
  process.stdout.write(`${line}\n`)
}

/** Says something beside the result (progress, what is being done), unless `--quiet`. */
export function note(options: GlobalOptions, line: string): void {
  if (!options.quiet) process.stderr.write(`${line}\n`)
}

/** Says what has to be known whatever was asked for, with `--quiet` too. */
export function warn(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Exit code of an error: 2 for bad usage or configuration, 1 for everything else. */
export function exitCodeOf(error: unknown): number {
  return error instanceof LocalformerError &&
    (error.code === 'ERR_USAGE' || error.code === 'ERR_CONFIG')
    ? 2
    : 1
}

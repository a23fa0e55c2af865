// What a command module is, and the helpers that every command shares: parse -> one library call
// -> print. A command writes its result to standard output and all else to standard error. What is
// printed here, and by the progress lines, is all that reaches a terminal: it is made safe for one.
import type { CommandModule } from 'yargs'
import { LocalformerError } from '../base/errors.js'
import { safeJson, safeLine, safeText } from '../base/terminal.js'

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
let speaker = 'localformer'
let isSilent = false

/** From now on what is said beside results names this rank; results are rank 0's to print, by default. */
export function speakAs(rank: number, printsResults = rank === 0): void {
  speaker = `localformer, rank ${rank}`
  isSilent = !printsResults
}

/** Does this process print results? Of several ranks one does. */
export const isTeller = () => !isSilent

/** Whoever tells of an error. */
export const speakerName = () => speaker

/** Prints the one JSON document of a command; what fails after it is told on standard error alone. */
export function printJson(document: unknown): void {
  if (isJsonPrinted || isSilent) return
  isJsonPrinted = true
  process.stdout.write(`${safeJson(document)}\n`)
}

/** Prints a line of a result meant for people. */
export function printLine(line = ''): void {
  if (isSilent) return
  process.stdout.write(`${safeLine(line)}\n`)
}

/** The same of text of several lines, whose parts are lines each. */
export function printText(text: string): void {
  if (isSilent) return
  process.stdout.write(`${safeText(text)}\n`)
}

/** Says something beside the result (progress, what is being done), unless `--quiet`. */
export function note(options: GlobalOptions, line: string): void {
  if (!options.quiet) warn(line)
}

/**
 * Says what has to be known whatever was asked for, with `--quiet` too. Further lines are set in: a
 * name with a line end in it begins no line of ours.
 */
export function warn(text: string): void {
  printHint(text.replace(/\n(?=\S)/g, '\n  '))
}

/** What to do about an error: lines as they are, some to be copied. */
export function printHint(text: string): void {
  process.stderr.write(`${safeText(text)}\n`)
}

/** Exit code of `plan` where it does not fit. */
export const DOES_NOT_FIT = 3

/** Exit code of an error: 2 for bad usage or configuration, 1 for everything else. */
export function exitCodeOf(error: unknown): number {
  return error instanceof LocalformerError &&
    (error.code === 'ERR_USAGE' || error.code === 'ERR_CONFIG')
    ? 2
    : 1
}

// What yargs found wrong with a command line -> an ERR_USAGE that names what is allowed.
import type { Argv } from 'yargs'
import { LocalformerError } from '../errors.js'

/**
 * What yargs passes as the third argument of a `fail` handler: its usage object at the command at
 * which it stopped, though its types say it is yargs itself.
 */
interface Usage {
  /** [command with its positionals, description, ...] */
  getCommands(): readonly (readonly [string, ...unknown[]])[]
  getDescriptions(): Readonly<Record<string, unknown>>
}

/**
 * The error to throw from yargs' `fail` handler: `error` itself where a command threw it, else one
 * for the command line, with the allowed options or commands as its hint.
 */
export function usageError(message: string | null, error: unknown, yargs: Argv): unknown {
  // YError is what yargs throws for a value that is missing behind an option.
  const isUsage = !(error instanceof Error) || error.name === 'YError'
  if (!isUsage) return error
  const text = message ?? (error as Error).message
  const hint = hintOf(text, yargs as unknown as Usage)
  return new LocalformerError('ERR_USAGE', withoutSpellings(text), hint ? { hint } : {})
}

function hintOf(text: string, usage: Usage): string | undefined {
  if (/^Unknown arguments?:/.test(text)) {
    const options = Object.keys(usage.getDescriptions()).map((name) => `--${name}`)
    return `Options: ${options.join(', ')}.`
  }
  const commands = usage.getCommands().map(([command]) => command.split(' ')[0])
  return commands.length > 0 ? `Commands: ${commands.join(', ')}.` : undefined
}

// yargs names an unknown option twice where it has a hyphen: image-siz, imageSiz.
function withoutSpellings(text: string): string {
  const [, head, list] = /^(Unknown arguments?): (.*)$/.exec(text) ?? []
  if (head === undefined || list === undefined) return text
  const names = list.split(', ')
  const camel = (name: string) =>
    name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
  const kept = names.filter(
    (name) => !names.some((other) => other !== name && camel(other) === name),
  )
  return `Unknown ${kept.length === 1 ? 'option' : 'options'}: ${kept.map((name) => `--${name}`).join(', ')}`
}

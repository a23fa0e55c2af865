// What yargs found wrong with a command line -> an ERR_USAGE that says what was meant, or is allowed.
import type { Argv } from 'yargs'
import { expected, LocalformerError } from '../base/errors.js'
import { nearestOf } from '../base/nearest.js'

/**
 * What yargs passes as the third argument of a `fail` handler: its usage object at the command at
 * which it stopped, though its types say it is yargs itself.
 */
interface Usage {
  /** [command with its positionals, description, ...] */
  getCommands(): readonly (readonly [string, ...unknown[]])[]
  getDescriptions(): Readonly<Record<string, unknown>>
  /** [`$0 command <positional>`, description] of the command. */
  getUsage(): readonly (readonly [string, ...unknown[]])[]
}

/** What yargs' `getOptions()` gives, which its types leave out. */
export interface ParsedOptions {
  /** Every option by its name with hyphens. */
  readonly key: Readonly<Record<string, unknown>>
  readonly array: readonly string[]
  readonly boolean: readonly string[]
  readonly number: readonly string[]
}

/**
 * Refuses what yargs lets pass: an option that is given twice, of which it makes an array or even
 * a sum (a number followed by 1), a negated one with a value (`--no-seed`, of which it makes 0), and a
 * word where a number belongs, which becomes NaN or, where it is empty, 0.
 *
 * @throws {LocalformerError} `ERR_USAGE`
 */
export function checkGiven(argv: readonly string[], options: ParsedOptions): void {
  const { key, array, boolean, number } = options
  const end = argv.indexOf('--')
  const words = end === -1 ? argv : argv.slice(0, end)
  checkNumbers(words, number)
  const given = words
    .filter((word) => word.startsWith('--'))
    .map((word) => camelCase(word.slice(2).replace(/=.*$/s, '')))
  const timesOf = (name: string) => given.filter((other) => other === camelCase(name)).length
  for (const name of Object.keys(key)) {
    const negated = timesOf(`no-${name}`)
    if (negated > 0 && !boolean.includes(name)) {
      throw new LocalformerError('ERR_USAGE', `Unknown option: --no-${name}`)
    }
    if (timesOf(name) + negated > 1 && !array.includes(name)) {
      throw new LocalformerError('ERR_USAGE', `\`--${name}\` was given twice`)
    }
  }
}

function checkNumbers(words: readonly string[], numbers: readonly string[]): void {
  words.forEach((word, at) => {
    const [, option = '', text = words[at + 1]] = /^--([^=]+)(?:=(.*))?$/s.exec(word) ?? []
    const name = numbers.find((other) => camelCase(other) === camelCase(option))
    if (name === undefined || text === undefined) return
    if (text.trim() !== '' && !Number.isNaN(Number(text))) return
    throw new LocalformerError('ERR_USAGE', expected('a number', `--${name}`, text))
  })
}

/**
 * Refuses a positional that is given as an option, which yargs lets pass and, where both are there,
 * passes over: `evaluate DIR --run OTHER`.
 *
 * @param usage How the command is written, `evaluate <run>`.
 * @throws {LocalformerError} `ERR_USAGE`
 */
export function checkPositionals(argv: readonly string[], usage: string): void {
  const [command, ...positionals] = usage.split(' ')
  for (const positional of positionals) {
    const name = positional.replace(/[^\w-]/g, '')
    const isGiven = argv.some((word) => word === `--${name}` || word.startsWith(`--${name}=`))
    if (!isGiven) continue
    throw new LocalformerError('ERR_USAGE', `Unknown option: --${name}`, {
      hint: `It is written without a name: localformer ${command} ${positional}.`,
    })
  }
}

/**
 * The error to throw from yargs' `fail` handler: `error` itself where a command threw it, else one
 * for the command line. Its hint is the option that was meant, or the commands that there are; all
 * options are in the error's `allowed`.
 */
export function usageError(message: string | null, error: unknown, yargs: Argv): unknown {
  // YError is what yargs throws for a value that is missing behind an option.
  const isUsage = !(error instanceof Error) || error.name === 'YError'
  if (!isUsage) return error
  const text = message ?? (error as Error).message
  const usage = yargs as unknown as Usage
  const unknown = unknownOptions(text)
  if (unknown !== undefined) return unknownError(unknown, usage)
  const hint = hintOf(usage)
  return new LocalformerError('ERR_USAGE', rephrase(text, usage), hint ? { hint } : {})
}

function unknownError(unknown: readonly string[], usage: Usage): LocalformerError {
  const names = Object.keys(usage.getDescriptions())
  const meant = unknown.flatMap((name) => {
    const near = nearestOf(name, names)
    return near === undefined ? [] : [`--${near}${unknown.length > 1 ? ` for --${name}` : ''}`]
  })
  const question = meant.length === 0 ? '' : `Did you mean ${meant.join(', ')}? `
  const [, ...words] = usage.getUsage()[0]?.[0].split(' ') ?? []
  const command = ['localformer', ...words.filter((word) => !/^[<[]/.test(word))].join(' ')
  const allowed = names.map((name) => `--${name}`)
  const [one, list] = [unknown.length === 1, unknown.map((name) => `--${name}`)]
  return new LocalformerError(
    'ERR_USAGE',
    `Unknown ${one ? 'option' : 'options'}: ${list.join(', ')}`,
    {
      hint: `${question}\`${command} --help\` lists the options.`,
      details: { allowed },
    },
  )
}

function hintOf(usage: Usage): string | undefined {
  const commands = usage.getCommands().map(([command]) => command.split(' ')[0])
  return commands.length > 0 ? `Commands: ${commands.join(', ')}.` : undefined
}

function rephrase(text: string, usage: Usage): string {
  const value = /^Not enough arguments following: (.*)$/.exec(text)
  if (value) return `\`--${value[1]}\` needs a value`
  const choice = /Argument: (\S+), Given: (.*), Choices: (.*)/.exec(text)
  if (choice) {
    const words = choice[3]?.replaceAll('"', '')
    return `Expected one of ${words} for \`--${choice[1]}\` but received ${choice[2]}`
  }
  const got = /^Not enough non-option arguments: got (\d+)/.exec(text)
  if (got) return missingPositionals(Number(got[1]), usage) ?? text
  const extra = /^Unknown (command|commands): (.*)$/.exec(text)
  if (extra && usage.getCommands().length === 0) {
    return `Unexpected ${extra[1] === 'command' ? 'argument' : 'arguments'} ${extra[2]}`
  }
  return text
}

/** `$0 evaluate <run>` -> which of its positionals come after the `got` that are there. */
function missingPositionals(got: number, usage: Usage): string | undefined {
  const [, ...words] = usage.getUsage()[0]?.[0].split(' ') ?? []
  const missing = words.filter((word) => word.startsWith('<')).slice(got)
  if (missing.length === 0) return undefined
  const command = words.filter((word) => !/^[<[]/.test(word))
  return `Expected ${missing.join(' and ')} after \`${command.join(' ')}\``
}

// yargs names an unknown option twice where it has a hyphen: image-siz, imageSiz.
function unknownOptions(text: string): string[] | undefined {
  const names = /^Unknown arguments?: (.*)$/s.exec(text)?.[1]?.split(', ')
  return names?.filter(
    (name) => !names.some((other) => other !== name && camelCase(other) === name),
  )
}

/** `image-size` -> `imageSize`: yargs takes both. */
function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}

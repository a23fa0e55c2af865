#!/usr/bin/env node
// The command line's root: a strict list of command modules, one place that prints errors.
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import process from 'node:process'
import type { CommandModule } from 'yargs'
import { Parser } from 'yargs/helpers'
import { isDebug } from '../base/environment.js'
import { LocalformerError } from '../base/errors.js'
import { packageVersion } from '../base/version.js'
import { checkDeviceName } from '../device/device.js'
import {
  exitCodeOf,
  type GlobalOptions,
  printHint,
  printJson,
  speakerName,
  warn,
} from './command.js'
import { commands } from './commands/index.js'
import { isOthers, takePlace } from './ranks.js'
import { checkGiven, checkPositionals, type ParsedOptions, usageError } from './usage.js'

// Required and not imported: its entry for `import` cuts help at a width, in the middle of words.
const yargs = createRequire(import.meta.url)('yargs/yargs') as typeof import('yargs')['default']

export async function main(argv: readonly string[]): Promise<number> {
  takePlace()
  let parser = yargs([...argv])
    .scriptName('localformer')
    .usage('$0 <command> [options]\n\nTrains Swin Transformers by local learning on LibTorch.')
    .option('json', {
      type: 'boolean',
      default: false,
      global: true,
      describe: 'Print one JSON document on standard output, all else on standard error',
    })
    .option('quiet', {
      type: 'boolean',
      default: false,
      global: true,
      describe: 'No progress on standard error',
    })
    .option('device', {
      type: 'string',
      defaultDescription: 'auto',
      global: true,
      requiresArg: true,
      describe:
        'cpu, cuda, cuda:N, auto (CUDA where there is a device) or, for memory alone, sim:NAME',
    })
    .middleware(
      (options: {
        _: unknown[]
        device?: string | undefined
        givenDevice?: string | undefined
      }) => {
        const [name] = options._
        const usages = commands.map(({ command }) => `${command}`)
        checkPositionals(argv, usages.find((usage) => usage.split(' ')[0] === name) ?? '')
        checkGiven(argv, (parser as unknown as { getOptions(): ParsedOptions }).getOptions())
        // A configuration may name one, which only a flag that was given overrides.
        options.givenDevice = options.device
        options.device ??= 'auto'
        checkDeviceName(options.device)
        if (isOthers(options._, options as unknown as GlobalOptions)) throw new NothingToDo()
      },
    )
  for (const command of commands) {
    parser = parser.command(command as unknown as CommandModule) as typeof parser
  }
  parser = parser
    .demandCommand(1, 'Expected a command; `localformer --help` lists them.')
    .strict()
    .strictCommands()
    .recommendCommands()
    .parserConfiguration({
      'dot-notation': false,
      'duplicate-arguments-array': true,
      'strip-aliased': true,
    })
    .version(packageVersion())
    .help()
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error, scope) => {
      throw usageError(message, error, scope)
    })
  try {
    await parser.parseAsync()
    return typeof process.exitCode === 'number' ? process.exitCode : 0
  } catch (error) {
    if (error instanceof NothingToDo) return 0
    reportError(error, wantsJson(argv))
    return exitCodeOf(error)
  }
}

/** Thrown where yargs has to be kept from the command: it is another process's. */
class NothingToDo extends Error {}

/** `--json` in every spelling, also where the rest of the command line is wrong. */
function wantsJson(argv: readonly string[]): boolean {
  return Parser([...argv], { boolean: ['json'] }).json === true
}

function reportError(error: unknown, json: boolean): void {
  if (error instanceof LocalformerError) {
    warn(`${speakerName()}: ${error.message} [${error.code}]`)
    if (error.hint) printHint(error.hint)
    if (isDebug() && error.stack) printHint(error.stack)
    if (json) {
      const { code, message, hint } = error
      printJson({
        schema: 1,
        error: { ...error, code, message, hint: hint ?? null, name: undefined },
      })
    }
    return
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  printHint(`${speakerName()}: unexpected error\n${text}`)
  if (json) {
    const message = error instanceof Error ? error.message : String(error)
    printJson({ schema: 1, error: { code: null, message, hint: null } })
  }
}

// A reader that has enough (`| head -1`) ends the command as SIGPIPE would.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(128 + constants.signals.SIGPIPE)
  })
}

process.exitCode = await main(process.argv.slice(2))

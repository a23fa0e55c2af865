// How a command prints its one table: as text, JSON or Markdown, and into a file.
import type { Options } from 'yargs'
import { LocalformerError } from '../base/errors.js'
import { type GlobalOptions, printJson, printText } from './command.js'
import { checkOutputFile, writeOutputFile } from './output-file.js'

export const tableOptions = {
  markdown: {
    type: 'boolean',
    default: false,
    describe: 'Print the table as Markdown, with a sentence on the machine',
  },
  output: {
    type: 'string',
    requiresArg: true,
    describe: 'File that receives the Markdown too',
  },
} as const satisfies Readonly<Record<string, Options>>

export interface TableArguments {
  markdown: boolean
  output: string | undefined
}

/** @throws {LocalformerError} `ERR_USAGE`, and `ERR_CONFIG` where the file cannot be written. */
export async function checkTableOptions(options: GlobalOptions & TableArguments): Promise<void> {
  if (options.json && options.markdown) {
    throw new LocalformerError('ERR_USAGE', 'Expected one of `--json` and `--markdown`', {
      hint: '`--json --output FILE` prints JSON and writes the Markdown to a file.',
    })
  }
  if (options.output !== undefined) await checkOutputFile(options.output)
}

export async function printTable<T>(
  { json, markdown, output }: GlobalOptions & TableArguments,
  result: T,
  toText: (result: T) => string,
  toMarkdown: (result: T) => string,
): Promise<void> {
  if (json) printJson(result)
  else printText(markdown ? toMarkdown(result) : toText(result))
  if (output !== undefined) await writeOutputFile(output, `${toMarkdown(result)}\n`)
}

// `localformer summary`: prints a network's units and, for every run spec, its modules.
import type { Argv } from 'yargs'
import { formatBytes } from '../../base/format.js'
import { parseRunSpec, RUN_SPEC_HELP } from '../../local/run-spec.js'
import {
  type ModuleSummary,
  type RunSummary,
  type Summary,
  summarize,
} from '../../local/summary.js'
import { type Command, type GlobalOptions, printJson, printLine } from '../command.js'
import { type MemoryLimitArguments, memoryLimitOf, memoryLimitOption } from '../memory-limit.js'
import {
  classesOption,
  type ModelArguments,
  modelOptions,
  swinOptionsOf,
} from '../model-options.js'

interface SummaryArguments extends ModelArguments, MemoryLimitArguments {
  classes: number
  run: readonly string[] | undefined
}

export const summaryCommand: Command<SummaryArguments> = {
  command: 'summary',
  describe: "Show a network's units and how it is cut into modules",
  builder: (yargs) =>
    yargs
      .options({ ...modelOptions, ...classesOption, ...memoryLimitOption })
      .option('run', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: `${RUN_SPEC_HELP}; may be given several times`,
      })
      .example('$0 summary', 'Swin-Tiny for 224 px and 10 classes')
      .example('$0 summary --run paper:4 --run backprop', 'cut into four modules, and whole')
      .example(
        '$0 summary --image-size 32 --patch-size 2 --run paper:2,split=2',
        'two modules, cut behind stage 2',
      ) as unknown as Argv<GlobalOptions & SummaryArguments>,
  handler: async (options) => {
    const specs = (options.run ?? []).map(parseRunSpec)
    const summary = await summarize(swinOptionsOf(options), specs, memoryLimitOf(options))
    if (options.json) printJson({ schema: 1, variant: options.variant, ...summary })
    else printSummary(options.variant, summary)
  },
}

function printSummary(variant: string, { config, device, deviceReason, ...summary }: Summary) {
  const { imageSize, patchSize, windowSize, classes } = config
  printLine(
    `Swin ${variant}: ${imageSize} px, patch ${patchSize}, window ${windowSize}, ` +
      `${classes} classes, on ${device}: ${deviceReason}`,
  )
  printLine()
  printTable(
    ['unit', 'output', 'parameters'],
    [
      ...summary.units.map(({ name, outputShape, parameters }) => [
        name,
        outputShape.join(' x '),
        count(parameters),
      ]),
      ['total', '', count(summary.parameters)],
    ],
  )
  for (const run of summary.runs) printRun(run)
}

function printRun({ spec, method, split, decoder, modules, residentBytes }: RunSummary): void {
  const how = decoder === null ? '' : `, decoder ${decoder}`
  const cut = modules.length === 1 ? 'one module' : `${modules.length} modules, split ${split}`
  printLine()
  printLine(`${spec}: ${method}, ${cut}${how}; ${formatBytes(residentBytes)} resident (measured)`)
  const sum = (value: (module: ModuleSummary) => number) =>
    modules.reduce((total, module) => total + value(module), 0)
  printTable(
    ['module', 'units', 'parameters', 'auxiliary', 'weights', 'optimizer'],
    [
      ...modules.map((module) => [
        module.name,
        rangeOf(module.units),
        count(module.parameters),
        count(module.auxiliaryParameters),
        formatBytes(module.weightBytes),
        formatBytes(module.optimizerBytes),
      ]),
      [
        'total',
        '',
        count(sum((module) => module.parameters)),
        count(sum((module) => module.auxiliaryParameters)),
        formatBytes(sum((module) => module.weightBytes)),
        formatBytes(sum((module) => module.optimizerBytes)),
      ],
    ],
  )
}

/** `first .. last (number)`. */
function rangeOf(units: readonly string[]): string {
  const [first = ''] = units
  return units.length < 2 ? first : `${first} .. ${units.at(-1)} (${units.length})`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

// Columns from `parameters` on hold numbers.
function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const numbersFrom = head.indexOf('parameters')
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, column) => {
      const width = widths[column] ?? 0
      return column < numbersFrom ? cell.padEnd(width) : cell.padStart(width)
    })
    printLine(cells.join('  ').trimEnd())
  }
}

// `localformer reproduce memory`: the paper's claims about memory and their rivals as one table.
import type { Argv } from 'yargs'
import { formatBytes, formatPercent } from '../../base/format.js'
import type { CompareRow } from '../../measure/compare.js'
import {
  type Claim,
  isInfopro,
  type Machine,
  type ReproduceResult,
  reproduceMemory,
} from '../../measure/reproduce.js'
import type { Command, GlobalOptions } from '../command.js'
import { arithmeticText, comparisonProgress } from '../comparison.js'
import { type DataArguments, dataOptions, openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { codeSpan, escapeMarkdown, markdownTable } from '../markdown.js'
import { type MemoryLimitArguments, memoryLimitOf, memoryLimitOption } from '../memory-limit.js'
import { type ModelArguments, modelOptions, swinOptionsOf } from '../model-options.js'
import { commandProgress } from '../progress.js'
import { atLeast, simulatedLegend, simulatedName } from '../simulated-text.js'
import { formatTable } from '../table.js'
import {
  checkTableOptions,
  printTable,
  type TableArguments,
  tableOptions,
} from '../table-output.js'

interface ReproduceArguments
  extends ModelArguments,
    DataArguments,
    TableArguments,
    MemoryLimitArguments {
  quick: boolean
  batchSize: number | undefined
  steps: number | undefined
  warmup: number | undefined
  rounds: number | undefined
}

export const reproduceMemoryCommand: Command<ReproduceArguments> = {
  command: 'memory',
  describe: "The paper's claims about memory, beside rivals with exact gradients",
  builder: (yargs) =>
    yargs
      .options(dataOptions)
      .options(modelOptions)
      .option('quick', {
        type: 'boolean',
        default: false,
        describe: 'Batches of 8 and one step, for a machine with few cores',
      })
      .option('batch-size', {
        type: 'number',
        requiresArg: true,
        defaultDescription: '32; 8 with --quick',
        describe: 'Images in a batch',
      })
      .option('steps', {
        type: 'number',
        requiresArg: true,
        defaultDescription: '3; 1 with --quick',
        describe: 'Measured steps of each process',
      })
      .option('warmup', {
        type: 'number',
        requiresArg: true,
        defaultDescription: '1',
        describe: 'Steps before those',
      })
      .option('rounds', {
        type: 'number',
        requiresArg: true,
        defaultDescription: '1',
        describe: 'Times that all runs are made in turn, for step times that can be trusted',
      })
      .options(memoryLimitOption)
      .options(tableOptions)
      .example('$0 reproduce memory --quick', "the paper's table on a small machine")
      .example(
        '$0 reproduce memory --device cuda --markdown --output memory.md',
        'for a README',
      ) as unknown as Argv<GlobalOptions & ReproduceArguments>,
  handler: async (options) => {
    await checkTableOptions(options)
    const limit = memoryLimitOf(options)
    const data = await openDataOf(options)
    const progress = commandProgress(options)
    await untilInterrupted(async (signal) => {
      const result = await reproduceMemory({
        data,
        model: swinOptionsOf({ ...options, classes: data.classes.length }),
        quick: options.quick,
        seed: options.seed,
        ...countsOf(options),
        ...limit,
        signal,
        onProgress: comparisonProgress(options, progress),
      }).finally(() => progress.finish())
      await printTable(options, result, formatMemory, markdownOfMemory)
    })
  },
}

/** Those that were given; the others are the library's to choose. */
function countsOf({ batchSize, steps, warmup, rounds }: ReproduceArguments) {
  return {
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(steps === undefined ? {} : { steps }),
    ...(warmup === undefined ? {} : { warmup }),
    ...(rounds === undefined ? {} : { rounds }),
  }
}

const PEAKS = ['peak of each module, MiB', 'largest module']

function headOf({ comparison }: ReproduceResult): string[] {
  const reserved = isCard(comparison) ? ['reserved', 'saved reserved'] : []
  const time = comparison.simulated === null ? ['time'] : []
  return ['run', 'peak', 'saved', ...reserved, 'paper', ...time, ...PEAKS]
}

/** Then reserved bytes decide what fits. */
function isCard({ device }: ReproduceResult['comparison']): boolean {
  return device !== 'cpu'
}

/** The table, the claims and the machine as text. */
export function formatMemory(result: ReproduceResult): string {
  return [
    `${settingOf(result)} on ${deviceOf(result)}`,
    machineSentence(result),
    '',
    formatTable(
      headOf(result),
      result.comparison.rows.map((row) => cellsOf(row, result)),
    ),
    '',
    ...result.claims.map((claim) => claimLine(claim, result)),
    '',
    ...legendOf(result),
  ].join('\n')
}

/** The same in GitHub's Markdown. */
export function markdownOfMemory(result: ReproduceResult): string {
  const rows = result.comparison.rows.map((row) => {
    const [run = '', ...cells] = cellsOf(row, result)
    return [codeSpan(run), ...cells]
  })
  const device = result.comparison.simulated === null ? '' : ` --device ${result.comparison.device}`
  const command = `Printed by \`localformer reproduce memory --markdown${device}\``
  return [
    `${command}: ${escapeMarkdown(settingOf(result))}. ${escapeMarkdown(machineSentence(result))}`,
    '',
    markdownTable(headOf(result), rows),
    '',
    ...result.claims.map((claim) => `- ${claimLine(claim, result, codeSpan)}`),
    '',
    ...legendOf(result),
  ].join('\n')
}

function settingOf({ comparison }: ReproduceResult): string {
  const { dataset, imageSize, batchSize, steps, rounds } = comparison
  const times = rounds > 1 ? `, ${rounds} rounds` : ''
  const unit = steps === 1 ? 'step' : 'steps'
  return `${dataset} at ${imageSize} px, batch ${batchSize}, AdamW, ${steps} ${unit}${times}`
}

function deviceOf({ comparison: { device, simulated } }: ReproduceResult): string {
  return simulated === null ? device : simulatedName(simulated)
}

function machineSentence({ date, machine }: ReproduceResult): string {
  // Unknown where no run came to an end.
  const libtorch = machine.libtorch === '' ? '' : `, with LibTorch ${machine.libtorch}`
  const how = machine.isSimulated ? 'Simulated' : 'Measured'
  return `${how} on ${date} on ${hardwareOf(machine)}${libtorch}.`
}

function hardwareOf({ cpu, cores, threads, gpu, isSimulated }: Machine): string {
  if (gpu !== null && isSimulated) return simulatedName(gpu)
  const host = `${cpu} (${cores} logical cores${threads === null ? '' : `, ${threads} threads`})`
  return gpu === null ? host : `${gpu} in a machine with ${host}`
}

function cellsOf(row: CompareRow, { comparison }: ReproduceResult): string[] {
  const paper = row.paperSaving === null ? '' : wholePercent(row.paperSaving)
  const ofCard = isCard(comparison)
  if (row.status === 'out_of_memory') {
    return [row.spec, 'out of memory', '', ...(ofCard ? ['', ''] : []), paper]
  }
  const peaks = row.perModule.map((module) => module.peakAllocatedBytes)
  const bytes = (value: number | null) => `${atLeast(row)}${formatBytes(value ?? 0)}`
  const share = (value: number | null) => (value === null ? '' : formatPercent(value))
  return [
    ...[row.spec, bytes(row.peakAllocatedBytes), share(row.savedVsFirst)],
    ...(ofCard ? [bytes(row.peakReservedBytes), share(row.savedReservedVsFirst)] : []),
    paper,
    ...(comparison.simulated === null
      ? [row.timeVsFirst === null ? '' : `${row.timeVsFirst.toFixed(2)}x`]
      : []),
    peaks.map(mebibytes).join(' / '),
    largestModule(peaks),
  ]
}

function largestModule(peaks: readonly number[]): string {
  return peaks.length < 2 ? '' : `${peaks.indexOf(Math.max(...peaks)) + 1} of ${peaks.length}`
}

function claimLine(
  { run, against, measured, measuredReserved, quoted }: Claim,
  { comparison }: ReproduceResult,
  nameOf = (name: string) => name,
) {
  const [one, other] = [nameOf(run), nameOf(against)]
  const isOther = isInfopro(run) || isInfopro(against)
  const rival = isOther ? " (not the paper's InfoPro-Transformer)" : ''
  const reported = quoted === null ? rival : ` (the paper: ${wholePercent(quoted)})`
  if (measured === null) return `${one} against ${other}: out of memory${reported}`
  const how = (saving: number) =>
    `${formatPercent(Math.abs(saving))} ${saving < 0 ? 'above' : 'below'}`
  const held =
    measuredReserved !== null && isCard(comparison)
      ? `, by reserved bytes ${how(measuredReserved)}`
      : ''
  return `${one} is ${how(measured)} ${other}${held}${reported}`
}

function wholePercent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function legendOf({ claims, notes, comparison }: ReproduceResult): string[] {
  const against = comparison.simulated === null ? 'saved, time' : 'saved'
  const columns = [
    `peak: of the allocator, in a fresh process. ${against}: against the first row. ` +
      `${arithmeticText(comparison)}.`,
    ...(isCard(comparison)
      ? [
          'peak and saved are of allocated bytes, those of live tensors. reserved: what the allocator held of the card ' +
            'at most, for which it must have room; saved reserved: of that, against the first row.',
        ]
      : []),
    ...simulatedLegend(comparison),
    ...notes,
  ]
  if (claims.every(({ quoted }) => quoted === null)) {
    return [...columns, 'paper: empty, as its figures are for Swin-Tiny.']
  }
  return [
    ...columns,
    'paper: what arXiv 2212.14215 reports for GPU memory; its decoder, image and batch size are not known.',
  ]
}

function mebibytes(bytes: number): string {
  const value = bytes / 2 ** 20
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)
}

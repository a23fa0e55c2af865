// `localformer compare`: run specs against each other, each in a fresh process.
import type { Argv } from 'yargs'
import { formatBytes, formatPercent } from '../../base/format.js'
import { definedOf } from '../../base/validate.js'
import { parseRunSpec, RUN_SPEC_HELP } from '../../local/run-spec.js'
import { type CompareResult, type CompareRow, compare } from '../../measure/compare.js'
import { MODULE_METRICS } from '../../metrics/module-metrics.js'
import { checkCalls, formatCalls } from '../calls-text.js'
import { type Command, type GlobalOptions, printJson, printText } from '../command.js'
import { arithmeticText, comparisonProgress } from '../comparison.js'
import { type DataArguments, dataOptions, openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { type MemoryLimitArguments, memoryLimitOf, memoryLimitOption } from '../memory-limit.js'
import {
  checkMemorySnapshot,
  type MemorySnapshotArguments,
  memorySnapshotOption,
  tellSnapshot,
} from '../memory-snapshot.js'
import { LOSSES, lossText } from '../metric-text.js'
import { type ModelArguments, modelOptions, swinOptionsOf } from '../model-options.js'
import { checkOutputFile, writeOutputFile } from '../output-file.js'
import { commandProgress } from '../progress.js'
import { atLeast, simulatedLegend, simulatedName } from '../simulated-text.js'
import { formatTable } from '../table.js'

interface CompareArguments
  extends ModelArguments,
    DataArguments,
    MemoryLimitArguments,
    MemorySnapshotArguments {
  run: string[]
  batchSize: number
  steps: number
  warmup: number
  rounds: number
  calls: boolean
  output: string | undefined
}

export const compareCommand: Command<CompareArguments> = {
  command: 'compare',
  describe: 'Measure memory and step time of run specs against each other',
  builder: (yargs) =>
    yargs
      .options(dataOptions)
      .options(modelOptions)
      .option('run', {
        type: 'string',
        array: true,
        requiresArg: true,
        demandOption: true,
        describe: `${RUN_SPEC_HELP}; the first is what the others are set against`,
      })
      .option('batch-size', {
        type: 'number',
        default: 32,
        requiresArg: true,
        describe: 'Images in a batch',
      })
      .option('steps', {
        type: 'number',
        default: 3,
        requiresArg: true,
        describe: 'Measured steps of each process',
      })
      .option('warmup', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: 'Steps before those',
      })
      .option('rounds', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: 'Times that all specs are run in turn, for step times that can be trusted',
      })
      .options(memoryLimitOption)
      .options(memorySnapshotOption)
      .option('calls', {
        type: 'boolean',
        default: false,
        describe:
          'What a simulated device (--device sim:NAME) is asked in a step, by module and phase',
      })
      .option('output', {
        type: 'string',
        requiresArg: true,
        describe: 'File that receives the JSON document too',
      })
      .example('$0 compare --run backprop --run paper:2 --run paper:4', "the paper's comparison")
      .example(
        '$0 compare --device sim:rtx3060 --run backprop --run paper:4',
        'memory on a card that is not there',
      ) as unknown as Argv<GlobalOptions & CompareArguments>,
  handler: async (options) => {
    const runs = options.run
    for (const run of runs) parseRunSpec(run)
    checkCalls(options)
    const limit = memoryLimitOf(options)
    if (options.output !== undefined) await checkOutputFile(options.output)
    await checkMemorySnapshot(options)
    const data = await openDataOf(options)
    const progress = commandProgress(options)
    await untilInterrupted(async (signal) => {
      const result = await compare({
        runs,
        data,
        model: swinOptionsOf({ ...options, classes: data.classes.length }),
        batchSize: options.batchSize,
        steps: options.steps,
        warmup: options.warmup,
        rounds: options.rounds,
        seed: options.seed,
        ...limit,
        ...definedOf({ memorySnapshot: options.memorySnapshot }),
        calls: options.calls,
        signal,
        onProgress: comparisonProgress(options, progress),
      }).finally(() => progress.finish())
      for (const { memorySnapshot, isSnapshotComplete = null } of result.rows) {
        if (memorySnapshot !== undefined) tellSnapshot(options, memorySnapshot, isSnapshotComplete)
      }
      if (options.json) printJson(result)
      else printText(formatComparison(result))
      if (options.output !== undefined) {
        await writeOutputFile(options.output, `${JSON.stringify(result, null, 2)}\n`)
      }
    })
  },
}

/** The table of a comparison as text. */
export function formatComparison(result: CompareResult): string {
  const { dataset, imageSize, batchSize, steps, rounds, device, threads, versions } = result
  const isSimulated = result.simulated !== null
  const computed = isSimulated ? [] : ['s/step', 'time', 'loss of each module']
  const head = ['run', 'allocated', 'reserved', 'saved', 'paper', ...computed]
  // Unknown where no run came to an end.
  const machine = threads === null ? '' : ` (${threads} threads), LibTorch ${versions.libtorch}`
  const losses = LOSSES.map((name) => MODULE_METRICS[name].title).join(' + ')
  const times = rounds > 1 ? `, ${rounds} rounds` : ''
  return [
    `${dataset} at ${imageSize} px, batch ${batchSize}, ${arithmeticText(result)}, AdamW, ${steps} steps${times} on ` +
      `${result.simulated === null ? device : simulatedName(result.simulated)}${machine}`,
    '',
    formatTable(
      head,
      result.rows.map((row) => tableRow(row, isSimulated)),
    ),
    '',
    ...(result.rows.some(({ perModule }) => perModule.some(({ calls }) => calls !== undefined))
      ? [formatCalls(result), '']
      : []),
    `allocated, reserved: peaks of the allocator. saved${isSimulated ? '' : ', time'}: against the first row.`,
    'paper: what arXiv 2212.14215 reports for GPU memory; its image and batch size are not known.',
    ...(isSimulated
      ? simulatedLegend(result)
      : [`loss: mean over the steps, ${losses} where there are any, not weighted.`]),
    ...tuningText(result),
  ].join('\n')
}

/** Nothing was measured where the cache knew it all. */
function tuningText({ rows }: CompareResult): string[] {
  const seconds = rows.reduce((sum, row) => sum + (row.tuningSeconds ?? 0), 0)
  if (seconds === 0) return []
  return [
    `Measuring what computes products fastest took ${seconds.toFixed(1)} s, once for this processor; no time has it.`,
  ]
}

function tableRow(row: CompareRow, isSimulated: boolean): string[] {
  if (row.status === 'out_of_memory') return [row.spec, 'out of memory']
  const memory = [
    row.spec,
    `${atLeast(row)}${formatBytes(row.peakAllocatedBytes ?? 0)}`,
    `${atLeast(row)}${formatBytes(row.peakReservedBytes ?? 0)}`,
    percent(row.savedVsFirst),
    percent(row.paperSaving),
  ]
  if (isSimulated) return memory
  return [
    ...memory,
    row.stepSeconds?.median.toFixed(2) ?? '',
    row.timeVsFirst === null ? '' : `${row.timeVsFirst.toFixed(2)}x`,
    row.perModule.map(lossText).join('  '),
  ]
}

function percent(share: number | null): string {
  return share === null ? '' : formatPercent(share)
}

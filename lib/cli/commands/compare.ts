// `localformer compare`: run specs against each other, each in a fresh process.
import type { Argv } from 'yargs'
import { LocalformerError } from '../../base/errors.js'
import { formatBytes, formatPercent } from '../../base/format.js'
import { definedOf } from '../../base/validate.js'
import type { Parallel } from '../../local/parallel.js'
import { parseRunSpec, RUN_SPEC_HELP } from '../../local/run-spec.js'
import {
  type CompareOptions,
  type CompareResult,
  type CompareRow,
  compare,
} from '../../measure/compare.js'
import { MODULE_METRICS } from '../../metrics/module-metrics.js'
import { checkCalls, formatCalls } from '../calls-text.js'
import { type Command, type GlobalOptions, printJson, printText } from '../command.js'
import { arithmeticText, comparisonProgress, recomputeText } from '../comparison.js'
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
import { checkThreads, type ThreadArguments, threadsOption } from '../threads.js'

interface CompareArguments
  extends ModelArguments,
    DataArguments,
    MemoryLimitArguments,
    MemorySnapshotArguments,
    ThreadArguments {
  run: string[]
  batchSize: number
  steps: number
  warmup: number
  rounds: number
  calls: boolean
  output: string | undefined
  ranks: string | undefined
  parallel: string | undefined
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
      .options({
        ranks: {
          type: 'string',
          requiresArg: true,
          describe:
            'Numbers of processes on this machine that measure each run, 1,2: one alone, several together',
          group: 'Ranks:',
        },
        parallel: {
          type: 'string',
          requiresArg: true,
          defaultDescription: 'data,modules',
          describe: 'With --ranks: how several share a run, each batch (data) or the modules',
          group: 'Ranks:',
        },
        threads: {
          ...threadsOption.threads,
          describe:
            'Threads of one operation; default: the physical cores, with --ranks shared by the processes',
        },
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
        '$0 compare --run paper:4,split=timed --ranks 1,2 --parallel modules',
        'one process, and two that share it',
      )
      .example(
        '$0 compare --device sim:rtx3060 --run backprop --run paper:4',
        'memory on a card that is not there',
      ) as unknown as Argv<GlobalOptions & CompareArguments>,
  handler: async (options) => {
    const runs = options.run
    for (const run of runs) parseRunSpec(run)
    checkCalls(options)
    const several = severalOf(options)
    checkThreads(options.threads)
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
        ...several,
        ...definedOf({ threads: options.threads }),
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

/** Checked by `compare`, but for what only a command line can say wrong. */
function severalOf({
  ranks,
  parallel,
}: CompareArguments): Pick<CompareOptions, 'ranks' | 'parallel'> {
  if (ranks === undefined) {
    if (parallel === undefined) return {}
    throw new LocalformerError('ERR_USAGE', '`--parallel` goes with `--ranks`', {
      hint: 'Say how many processes: --ranks 1,2.',
    })
  }
  const words = (list: string) => list.split(',').map((word) => word.trim())
  return {
    ranks: words(ranks).map((word) => (word === '' ? Number.NaN : Number(word))),
    ...(parallel === undefined ? {} : { parallel: words(parallel) as Parallel[] }),
  }
}

/** The table of a comparison as text. */
export function formatComparison(result: CompareResult): string {
  const { dataset, imageSize, batchSize, steps, rounds, device, threads, versions } = result
  const isSimulated = result.simulated !== null
  const isShared = result.rows.some(({ ranks }) => ranks > 1)
  const computed = isSimulated ? [] : ['s/step', 'time', 'loss of each module']
  const head = [
    ...['run', ...(isShared ? ['ranks', 'threads', 'images/s'] : [])],
    ...['allocated', 'reserved', 'saved', 'paper', ...computed],
  ]
  // Unknown where no run came to an end.
  const ofEach = isShared ? '' : ` (${threads} ${threads === 1 ? 'thread' : 'threads'})`
  const machine = threads === null ? '' : `${ofEach}, LibTorch ${versions.libtorch}`
  const losses = LOSSES.map((name) => MODULE_METRICS[name].title).join(' + ')
  const times = rounds > 1 ? `, ${rounds} rounds` : ''
  return [
    `${dataset} at ${imageSize} px, batch ${batchSize}, ${arithmeticText(result)}, AdamW, ${steps} steps${times} on ` +
      `${result.simulated === null ? device : simulatedName(result.simulated)}${machine}`,
    '',
    formatTable(
      head,
      result.rows.map((row) => tableRow(row, { isSimulated, isShared })),
    ),
    '',
    ...(isShared ? rankLines(result) : []),
    ...(result.rows.some(({ perModule }) => perModule.some(({ calls }) => calls !== undefined))
      ? [formatCalls(result), '']
      : []),
    `allocated, reserved: peaks of the allocator. saved${isSimulated ? '' : ', time'}: against the first row.`,
    'paper: what arXiv 2212.14215 reports for GPU memory; its image and batch size are not known.',
    ...(isSimulated
      ? simulatedLegend(result)
      : [`loss: mean over the steps, ${losses} where there are any, not weighted.`]),
    ...(isShared ? RANKS_LEGEND : []),
    ...recomputeText(
      result.rows,
      "Where a run does not say what it recomputes it keeps all that PyTorch's autograd keeps (recompute=none); " +
        '`plan` and `train` then take recompute=selective.',
    ),
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

const RANKS_LEGEND = [
  'ranks: processes of this machine, each with so many threads; bytes of the one that takes most, s/step of the slowest.',
  'sent, received: tensors in a step. waited: of its time, for others.',
]

/** Of every process of a group. */
function rankLines({ rows }: CompareResult): string[] {
  const cells = rows.flatMap(({ spec, perRank, ...row }) =>
    perRank.map((one) => [
      ...[
        spec,
        ranksText(row),
        `${one.rank}`,
        one.modules.map((name) => name.replace('module ', '')).join(', '),
      ],
      ...[one.residentBytes, one.peakAllocatedBytes, one.sentBytes, one.receivedBytes].map(
        formatBytes,
      ),
      formatPercent(one.waitedShare),
    ]),
  )
  if (cells.length === 0) return []
  const head = ['run', 'ranks', 'rank', 'modules', 'resident', 'peak', 'sent', 'received', 'waited']
  return [formatTable(head, cells), '']
}

function ranksText({ ranks, parallel }: Pick<CompareRow, 'ranks' | 'parallel'>): string {
  return parallel === null ? `${ranks}` : `${ranks} ${parallel}`
}

function tableRow(
  row: CompareRow,
  { isSimulated, isShared }: { readonly isSimulated: boolean; readonly isShared: boolean },
): string[] {
  const { threads, imagesPerSecond } = row
  const several = [ranksText(row), `${threads ?? ''}`, imagesPerSecond?.toPrecision(3) ?? '']
  const name = [row.spec, ...(isShared ? several : [])]
  if (row.status === 'out_of_memory') return [...name, 'out of memory']
  const memory = [
    ...name,
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

// `localformer reproduce accuracy`: the paper's accuracy table, one run folder a cell.

import os from 'node:os'
import path from 'node:path'
import type { Argv, Options } from 'yargs'
import { findDataset } from '../../datasets/open.js'
import { checkComputes, resolveDevice } from '../../device/device.js'
import { VARIANTS } from '../../local/swin-transformer.js'
import {
  ACCURACY_METHODS,
  type AccuracyPlan,
  type AccuracySettings,
  BUDGETS,
  type BudgetName,
  gapsOf,
  imageSizeOf,
  planAccuracy,
  rowsOf,
} from '../../measure/accuracy.js'
import { estimateTimes, type TimeEstimate } from '../../measure/accuracy-time.js'
import { type CellState, cellState, runCells } from '../../measure/cells.js'
import {
  type AccuracyResult,
  expectedSentence,
  formatAccuracy,
  formatPlan,
  markdownOfAccuracy,
  type PlannedCell,
} from '../accuracy-text.js'
import { type Command, type GlobalOptions, note, printJson, printText } from '../command.js'
import { dataOptions, openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { type MemoryLimitArguments, memoryLimitOf, memoryLimitOption } from '../memory-limit.js'
import { commandProgress } from '../progress.js'
import {
  checkTableOptions,
  printTable,
  type TableArguments,
  tableOptions,
} from '../table-output.js'
import { createTrainingProgress } from '../training-progress.js'
import { tellEvent } from '../training-text.js'

interface AccuracyArguments extends TableArguments, MemoryLimitArguments {
  budget: BudgetName
  datasets: string | undefined
  methods: string | undefined
  decoders: string | undefined
  seeds: number
  dryRun: boolean
  runDir: string | undefined
  dataDir: string | undefined
  variant: string
  imageSize: number | undefined
  epochs: number | undefined
  batchSize: number | undefined
  trainLimit: number | undefined
  testLimit: number | undefined
}

const text = (describe: string, defaultDescription: string): Options => ({
  ...{ type: 'string', requiresArg: true, describe, defaultDescription },
})

const count = (describe: string, defaultDescription: string): Options => ({
  ...{ type: 'number', requiresArg: true, describe, defaultDescription },
  group: 'Instead of what the budget says:',
})

export const reproduceAccuracyCommand: Command<AccuracyArguments> = {
  command: 'accuracy',
  describe: "The paper's accuracy table: data set x method x decoder; goes on where it stopped",
  builder: (yargs) =>
    yargs
      .option('budget', {
        choices: Object.keys(BUDGETS) as BudgetName[],
        default: 'cpu-hour' as const,
        requiresArg: true,
        describe:
          'full: 300 epochs, batch 1024; gpu-hour: 100 epochs, batch 512; cpu-hour: 30 epochs of 5,000 ' +
          'images, batch 128. --dry-run says how long it takes here',
      })
      .option('datasets', text('Data sets, with commas between', "the budget's"))
      .option('methods', text('Methods, with commas between', ACCURACY_METHODS.join(',')))
      .option('decoders', text('Decoders of `paper`', 'linear,conv,transformer'))
      .option('seeds', {
        type: 'number',
        default: 1,
        requiresArg: true,
        describe: 'Number of seeds of each run',
      })
      .option('dry-run', {
        type: 'boolean',
        default: false,
        describe: 'Print the plan with the expected times, train nothing',
      })
      .option('run-dir', text('Folder of all run folders', 'runs/accuracy-<budget>'))
      .option('data-dir', dataOptions['data-dir'])
      .option('variant', {
        choices: Object.keys(VARIANTS),
        default: 'tiny',
        requiresArg: true,
        describe: 'Sizes of the network',
      })
      .option('image-size', count('Side in pixels', '96 for stl10, else 32'))
      .option('epochs', count('Passes over the images', "the budget's"))
      .option('batch-size', count('Images in a batch', "the budget's"))
      .option('train-limit', count('Only so many training images', "the budget's"))
      .option('test-limit', count('Only so many test images', 'all'))
      .options(memoryLimitOption)
      .options(tableOptions)
      .example('$0 reproduce accuracy --dry-run', 'what it would take on this machine')
      .example(
        '$0 reproduce accuracy --methods backprop,paper --decoders linear --seeds 2',
        'a part of the table',
      ) as unknown as Argv<GlobalOptions & AccuracyArguments>,
  handler: async (options) => {
    await checkTableOptions(options)
    checkComputes(options.device, 'train')
    const limit = memoryLimitOf(options)
    const plan = planAccuracy({
      budget: options.budget,
      seeds: options.seeds,
      ...listOf('datasets', options.datasets),
      ...listOf('methods', options.methods),
      ...listOf('decoders', options.decoders),
      settings: settingsOf(options),
    })
    for (const { dataset } of plan.cells) findDataset(dataset)
    const directory = path.resolve(options.runDir ?? `runs/accuracy-${options.budget}`)
    const device = resolveDevice(options.device)
    note(options, `Device ${device.name}: ${device.reason}`)
    await untilInterrupted(async (signal) => {
      const planned = await planCells(plan, directory, options, signal)
      if (options.dryRun) return printPlan(options, plan, directory, planned)
      note(options, expectedSentence(planned))
      const result = await runPlan(plan, directory, device.name, { ...options, ...limit }, signal)
      await printTable(options, result, formatAccuracy, markdownOfAccuracy)
      const failed = result.rows.some((row) => row.seeds < row.outcomes.length)
      if (failed) process.exitCode = 1
    }, 'interrupted; finished runs are kept, and the same command goes on')
  },
}

function listOf(name: string, words: string | undefined) {
  return words === undefined ? {} : { [name]: words.split(',').map((word) => word.trim()) }
}

/** What is given instead of the budget's. */
function settingsOf(options: AccuracyArguments): Partial<AccuracySettings> {
  const { variant, imageSize, epochs, batchSize, trainLimit, testLimit } = options
  return {
    variant,
    ...(imageSize === undefined ? {} : { imageSize }),
    ...(epochs === undefined ? {} : { epochs }),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(trainLimit === undefined ? {} : { trainLimit }),
    ...(testLimit === undefined ? {} : { testLimit }),
  }
}

/** How far every cell is, with the time that it will take where it is not trained. */
async function planCells(
  plan: AccuracyPlan,
  directory: string,
  options: GlobalOptions & AccuracyArguments,
  signal: AbortSignal,
): Promise<PlannedCell[]> {
  const states: CellState[] = []
  for (const cell of plan.cells) states.push(await cellState(plan, cell, directory))
  const isOpen = (index: number) => states[index] === 'new' || states[index] === 'begun'
  const open = plan.cells.filter((_, index) => isOpen(index))
  const times = new Map<string, ReadonlyMap<string, TimeEstimate>>()
  for (const dataset of new Set(open.map((cell) => cell.dataset))) {
    const runs = [...new Set(open.filter((c) => c.dataset === dataset).map(({ run }) => run))]
    const imageSize = imageSizeOf(dataset, plan.settings)
    const data = await openDataOf({ ...options, dataset, imageSize })
    const progress = commandProgress(options)
    const estimates = await estimateTimes(plan, runs, data, {
      ...{ device: options.device as 'auto', signal },
      onProgress: ({ spec, done, total }) =>
        progress.update({ label: `Timing ${spec} on ${dataset}`, done, total, unit: 'steps' }),
    }).finally(() => progress.finish())
    times.set(dataset, estimates)
  }
  return plan.cells.map((cell, index) => ({
    ...cell,
    state: states[index] ?? 'new',
    estimate: isOpen(index) ? (times.get(cell.dataset)?.get(cell.run) ?? null) : null,
  }))
}

function printPlan(
  options: GlobalOptions,
  plan: AccuracyPlan,
  directory: string,
  cells: readonly PlannedCell[],
): void {
  const { budget, settings } = plan
  const document = { schema: 1, what: 'accuracy-plan', budget, settings, directory, cells }
  if (options.json) printJson(document)
  else printText(formatPlan(plan, cells))
}

async function runPlan(
  plan: AccuracyPlan,
  directory: string,
  device: string,
  options: GlobalOptions & AccuracyArguments & { readonly memoryLimitBytes?: number },
  signal: AbortSignal,
): Promise<AccuracyResult> {
  const progress = createTrainingProgress({ quiet: options.quiet })
  const outcomes = await runCells(plan, {
    ...{ directory, device, dataDir: options.dataDir, signal },
    memoryLimitBytes: options.memoryLimitBytes,
    // Beside the result, which is the table.
    onEvent: (event) => tellEvent({ ...options, json: true }, event, progress),
    onCell: ({ dataset, run, seed }, state, done, total) => {
      const what = { new: 'begins', begun: 'goes on', trained: 'is evaluated', finished: 'is done' }
      note(options, `[${done + 1} of ${total}] ${run} on ${dataset}, seed ${seed} ${what[state]}`)
    },
  }).finally(() => progress.finish())
  const rows = rowsOf(plan, outcomes)
  return {
    ...{ schema: 1, what: 'accuracy' },
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cpu: os.cpus()[0]?.model.trim() ?? 'unknown CPU',
      cores: os.availableParallelism(),
      device,
    },
    ...{ budget: plan.budget, settings: plan.settings, directory, rows, gaps: gapsOf(rows) },
  }
}

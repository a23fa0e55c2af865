// `localformer evaluate`: accuracy of a trained network and of every module's head, and which
// classes it mixes up.

import type { Argv } from 'yargs'
import { loadRun } from '../../run-folder/load-run.js'
import { evaluateRun } from '../../runs/evaluate-run.js'
import {
  type Command,
  type GlobalOptions,
  isTeller,
  note,
  printJson,
  printLine,
  printText,
} from '../command.js'
import { type DataArguments, dataModuleOption, dataOptions, openDataOf } from '../data-options.js'
import { confusionCsv, formatEvaluation } from '../evaluation-text.js'
import { untilInterrupted } from '../interrupt.js'
import { checkOutputFile, writeOutputFile } from '../output-file.js'
import { amongRanks, isSeveral, type JoinArguments, joinOptions, tellIdle } from '../ranks.js'
import { dataDirOf, placeOfWeights, type WeightsArguments, weightsOption } from '../run-weights.js'
import { type ThreadArguments, threadsOption, useThreads } from '../threads.js'

interface EvaluateArguments
  extends Omit<DataArguments, 'dataset'>,
    WeightsArguments,
    ThreadArguments,
    JoinArguments {
  dataModule: string | undefined
  dataset: string | undefined
  run: string
  split: 'train' | 'test'
  batchSize: number
  limit: number | undefined
  confusion: string | undefined
}

// Which data set follows from the run unless another one is named.
const { default: _default, ...named } = dataOptions.dataset
const evaluatedDataset = { ...named, defaultDescription: 'the one that it was trained on' }

export const evaluateCommand: Command<EvaluateArguments> = {
  command: 'evaluate <run>',
  describe: 'Accuracy of a trained network and of the head of each module',
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'A run folder, one of its checkpoints, or weights',
      })
      .options({ ...dataOptions, ...dataModuleOption, dataset: evaluatedDataset })
      .options(weightsOption)
      .option('split', {
        choices: ['train', 'test'] as const,
        default: 'test',
        requiresArg: true,
        describe: 'Which images',
      })
      .option('batch-size', {
        type: 'number',
        default: 128,
        requiresArg: true,
        describe: 'Images at a time',
      })
      .option('limit', {
        type: 'number',
        requiresArg: true,
        describe: 'Only so many images',
      })
      .option('confusion', {
        type: 'string',
        requiresArg: true,
        describe: 'CSV file that receives the whole confusion matrix',
      })
      .options(threadsOption)
      .options(joinOptions) as unknown as Argv<GlobalOptions & EvaluateArguments>,
  handler: (options) => amongRanks(options, () => evaluateOn(options)),
}

async function evaluateOn(options: GlobalOptions & EvaluateArguments): Promise<void> {
  const { confusion, split, batchSize, limit } = options
  if (confusion !== undefined && isTeller()) await checkOutputFile(confusion, '--confusion')
  useThreads(options)
  const place = await placeOfWeights(options.run, options)
  const run = await loadRun(place, options.device)
  await using _ = run.model
  const isOwn = options.dataset === undefined && options.dataDir === undefined
  const data = await openDataOf({
    ...options,
    dataset: options.dataset ?? run.dataset,
    dataDir: isOwn ? await dataDirOf(options.run) : options.dataDir,
    // Photos are brought to the size at which the network was trained.
    imageSize: run.model.config.imageSize,
  })
  if (data.name !== run.dataset)
    note(options, `The run was trained on ${run.dataset}, not ${data.name}`)
  if (isSeveral()) tellIdle(options, Math.min(limit ?? Infinity, data[split].count), batchSize)
  await untilInterrupted(async (signal) => {
    const amount = limit === undefined ? {} : { limit }
    const shared = isSeveral()
    const result = await evaluateRun(run, data, { split, batchSize, ...amount, shared, signal })
    if (!isTeller()) return
    if (confusion !== undefined) {
      await writeOutputFile(confusion, confusionCsv(result, run.classes), '--confusion')
    }
    if (options.json) return printJson(result)
    printLine(`${result.run} on ${result.count} ${split} images of ${data.name}`)
    const { classes } = run
    const heads = run.trainer.modules.map(({ name }) => name)
    printText(formatEvaluation(result, { heads, classes, columns: process.stdout.columns ?? 80 }))
  })
}

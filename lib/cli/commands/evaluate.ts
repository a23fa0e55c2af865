// `localformer evaluate`: accuracy of a trained network and of every module's head, and which
// classes it mixes up.
import type { Argv } from 'yargs'
import { LocalformerError } from '../../base/errors.js'
import { evaluate } from '../../evaluate/evaluate.js'
import { loadRun } from '../../run-folder/run-folder.js'
import { type Command, type GlobalOptions, note, printJson, printLine } from '../command.js'
import { type DataArguments, dataOptions, openDataOf } from '../data-options.js'
import { confusionCsv, formatEvaluation } from '../evaluation-text.js'
import { untilInterrupted } from '../interrupt.js'
import { checkOutputFile, writeOutputFile } from '../output-file.js'
import { dataDirOf, placeOfWeights, type WeightsArguments, weightsOption } from '../run-weights.js'

interface EvaluateArguments extends Omit<DataArguments, 'dataset'>, WeightsArguments {
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
      .options({ ...dataOptions, dataset: evaluatedDataset })
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
      }) as unknown as Argv<GlobalOptions & EvaluateArguments>,
  handler: async (options) => {
    const { confusion } = options
    if (confusion !== undefined) await checkOutputFile(confusion, '--confusion')
    const place = await placeOfWeights(options.run, options)
    const { model, trainer, spec, dataset, classes, mean, std } = await loadRun(
      place,
      options.device,
    )
    await using _ = model
    const isOwn = options.dataset === undefined && options.dataDir === undefined
    const data = await openDataOf({
      ...options,
      dataset: options.dataset ?? dataset,
      dataDir: isOwn ? await dataDirOf(options.run) : options.dataDir,
      // Photos are brought to the size at which the network was trained.
      imageSize: model.config.imageSize,
    })
    if (data.name !== dataset) note(options, `The run was trained on ${dataset}, not ${data.name}`)
    if (data.classes.length !== classes.length) {
      throw new LocalformerError(
        'ERR_CONFIG',
        `The run was trained on ${classes.length} classes, data set ${data.name} has ${data.classes.length}`,
      )
    }
    const differs = data.classes.findIndex((name, k) => name !== classes[k])
    if (data.name === dataset && differs !== -1) {
      throw new LocalformerError(
        'ERR_CONFIG',
        `Class ${differs} was ${classes[differs]} when the run was trained and is ${data.classes[differs]}`,
        { hint: 'Name the classes (the folders of photos) as they were.' },
      )
    }
    // As it was trained: photos that came since would change what a pixel means.
    const split = { ...data[options.split], mean, std }
    await untilInterrupted(async (signal) => {
      const result = await evaluate(trainer, split, {
        batchSize: options.batchSize,
        ...(options.limit === undefined ? {} : { limit: options.limit }),
        signal,
      })
      const document = {
        schema: 1,
        run: spec.text,
        dataset: data.name,
        split: options.split,
        ...result,
      }
      if (confusion !== undefined) {
        await writeOutputFile(confusion, confusionCsv(result, classes), '--confusion')
      }
      if (options.json) return printJson(document)
      printLine(`${spec.text} on ${result.count} ${options.split} images of ${data.name}`)
      const heads = trainer.modules.map(({ name }) => name)
      printLine(formatEvaluation(result, { heads, classes, columns: process.stdout.columns ?? 80 }))
    })
  },
}

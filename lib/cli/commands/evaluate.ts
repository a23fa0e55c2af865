// `localformer evaluate`: accuracy of a trained network and of every module's head.
import type { Argv } from 'yargs'
import { LocalformerError } from '../../errors.js'
import { evaluate } from '../../evaluate.js'
import { loadRun } from '../../runs/run-folder.js'
import { type Command, type GlobalOptions, note, printJson, printLine } from '../command.js'
import { type DataArguments, dataOptions, openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { formatTable } from '../table.js'

interface EvaluateArguments extends Omit<DataArguments, 'dataset'> {
  dataset: string | undefined
  run: string
  split: 'train' | 'test'
  batchSize: number
  limit: number | undefined
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
      }) as unknown as Argv<GlobalOptions & EvaluateArguments>,
  handler: async (options) => {
    const { model, trainer, spec, dataset, classes } = await loadRun(options.run, options.device)
    await using _ = model
    const data = await openDataOf({
      ...options,
      dataset: options.dataset ?? dataset,
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
    await untilInterrupted(async (signal) => {
      const result = await evaluate(trainer, data[options.split], {
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
      if (options.json) return printJson(document)
      printLine(`${spec.text} on ${result.count} ${options.split} images of ${data.name}`)
      printLine(
        formatTable(
          ['head', 'accuracy', 'loss'],
          result.modules.map(({ accuracy, loss }, k) => [
            trainer.modules[k]?.name ?? '',
            `${(accuracy * 100).toFixed(2)} %`,
            loss.toFixed(4),
          ]),
        ),
      )
    })
  },
}

// `localformer evaluate`: accuracy of a trained network and of every module's head.
import type { Argv } from 'yargs'
import { LocalformerError } from '../../errors.js'
import { evaluate } from '../../evaluate.js'
import { loadRun } from '../../runs/run-folder.js'
import { type Command, type GlobalOptions, printJson, printLine } from '../command.js'
import { type DataArguments, dataOptions, openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { formatTable } from '../table.js'

interface EvaluateArguments extends DataArguments {
  run: string
  split: 'train' | 'test'
  batchSize: number
  limit: number | undefined
}

export const evaluateCommand: Command<EvaluateArguments> = {
  command: 'evaluate <run>',
  describe: 'Accuracy of a trained network and of the head of each module',
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'A run folder, or its model.safetensors',
      })
      .options(dataOptions)
      .option('split', { choices: ['train', 'test'] as const, default: 'test' })
      .option('batch-size', { type: 'number', default: 128, describe: 'Images at a time' })
      .option('limit', { type: 'number', describe: 'Only so many images' }) as unknown as Argv<
      GlobalOptions & EvaluateArguments
    >,
  handler: async (options) => {
    const { model, trainer, spec, classes } = await loadRun(options.run, options.device)
    await using _ = model
    const data = await openDataOf(options)
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

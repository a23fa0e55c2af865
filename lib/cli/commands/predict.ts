// `localformer predict`: the most probable classes of image files, by a trained network.

import type { Argv } from 'yargs'
import { expected, LocalformerError } from '../../base/errors.js'
import { integer } from '../../base/validate.js'
import { imageFilesOf, readImage } from '../../datasets/read-image.js'
import { type Guess, type Prediction, predict } from '../../evaluate/predict.js'
import { type LoadedRun, loadRun } from '../../run-folder/load-run.js'

import { type Command, type GlobalOptions, printJson, printText } from '../command.js'
import { untilInterrupted } from '../interrupt.js'
import { commandProgress } from '../progress.js'
import { placeOfWeights, type WeightsArguments, weightsOption } from '../run-weights.js'
import { formatTable } from '../table.js'

interface PredictArguments extends WeightsArguments {
  run: string
  files: string[]
  top: number
  exits: boolean
}

/** Files whose pixels are in memory together. */
const FILES_AT_A_TIME = 16

export const predictCommand: Command<PredictArguments> = {
  command: 'predict <run> <files..>',
  describe: 'Classes of image files by a trained network',
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'A run folder, or its weights',
      })
      .positional('files', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'PNG files; others, and runs on image-folder, need `npm install sharp`; folders',
      })
      .options(weightsOption)
      .option('top', {
        type: 'number',
        default: 5,
        requiresArg: true,
        describe: 'So many of the most probable classes',
      })
      .option('exits', {
        type: 'boolean',
        default: false,
        describe: 'What the head of each module says, too',
      })
      .example(
        '$0 predict runs/mine cat.png photos',
        'a file, and all images below a folder',
      ) as unknown as Argv<GlobalOptions & PredictArguments>,
  handler: async (options) => {
    if (!integer(1).safeParse(options.top).success) {
      throw new LocalformerError(
        'ERR_CONFIG',
        expected('a whole number of at least 1', 'top', options.top),
      )
    }
    const files = await imageFilesOf(options.files)
    const run = await loadRun(await placeOfWeights(options.run, options), options.device)
    await using _ = run.model
    await untilInterrupted(async (signal) => {
      const predictions = await predictFiles(run, files, options, signal)
      const results = predictions.map((prediction, index) => ({
        file: files[index] as string,
        ...prediction,
      }))
      if (options.json) printJson({ schema: 1, run: run.spec.text, predictions: results })
      else
        printText(
          formatPredictions(
            results,
            run.trainer.modules.map(({ name }) => name),
          ),
        )
    })
  },
}

async function predictFiles(
  { trainer, model, dataset, classes, mean, std }: LoadedRun,
  files: readonly string[],
  options: GlobalOptions & PredictArguments,
  signal: AbortSignal,
): Promise<Prediction[]> {
  const { top, exits } = options
  // Prepared as the images were that it learned from.
  const size = dataset === 'image-folder' ? { size: model.config.imageSize } : {}
  const predictions: Prediction[] = []
  const progress = commandProgress(options)
  try {
    while (predictions.length < files.length) {
      signal.throwIfAborted()
      const done = predictions.length
      progress.update({ label: 'Predicting', done, total: files.length, unit: 'files' })
      const images = []
      for (const file of files.slice(done, done + FILES_AT_A_TIME)) {
        images.push(await readImage(file, size))
      }
      const settings = { classes, mean, std, top, exits, signal }
      predictions.push(...(await predict(trainer, images, settings)))
    }
    return predictions
  } finally {
    progress.finish()
  }
}

/** A row a file with the classes from the left; below it, where asked for, a row a module. */
function formatPredictions(
  results: readonly (Prediction & { readonly file: string })[],
  modules: readonly string[],
): string {
  const rows = results.flatMap(({ file, top, exits }) => [
    [file, ...top.map(guessText)],
    ...exits.map((guesses, k) => [`  ${modules[k] ?? ''}`, ...guesses.map(guessText)]),
  ])
  const count = rows.reduce((most, row) => Math.max(most, row.length - 1), 0)
  const head = Array.from({ length: count }, (_, place) => `${place + 1}.`)
  return formatTable(['file', ...head], rows)
}

function guessText({ name, probability }: Guess): string {
  return `${name} ${(probability * 100).toFixed(1)} %`
}

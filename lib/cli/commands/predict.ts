// `localformer predict`: the most probable classes of image files, by a trained network.

import type { Argv } from 'yargs'
import { expected, LocalformerError } from '../../base/errors.js'
import { integer } from '../../base/validate.js'
import { type Image, imageFilesOf, readImage } from '../../datasets/read-image.js'
import { type Guess, type Prediction, predict } from '../../evaluate/predict.js'
import { type LoadedRun, loadRun } from '../../run-folder/load-run.js'

import { type Command, type GlobalOptions, printJson, printText, warn } from '../command.js'
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
/** Files that could not be read and are told by name. */
const TOLD = 20

type FilePrediction = Prediction & { readonly file: string }

interface FileFailure {
  readonly file: string
  readonly error: LocalformerError
}

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
      const { predictions, failures } = await predictFiles(run, files, options, signal)
      if (predictions.length === 0) throw noneRead(failures)
      const modules = run.trainer.modules.map(({ name }) => name)
      if (options.json) printJson(documentOf(run, predictions, failures))
      else printText(formatPredictions(predictions, modules))
      tellFailures(failures)
      if (failures.length > 0) process.exitCode = 1
    })
  },
}

async function predictFiles(
  { trainer, model, dataset, classes, mean, std }: LoadedRun,
  files: readonly string[],
  options: GlobalOptions & PredictArguments,
  signal: AbortSignal,
): Promise<{ predictions: FilePrediction[]; failures: FileFailure[] }> {
  const { top, exits } = options
  // Prepared as the images were that it learned from.
  const size = dataset === 'image-folder' ? { size: model.config.imageSize } : {}
  const predictions: FilePrediction[] = []
  const failures: FileFailure[] = []
  const progress = commandProgress(options)
  try {
    for (let done = 0; done < files.length; done += FILES_AT_A_TIME) {
      signal.throwIfAborted()
      progress.update({ label: 'Predicting', done, total: files.length, unit: 'files' })
      const images: Image[] = []
      const read: string[] = []
      for (const file of files.slice(done, done + FILES_AT_A_TIME)) {
        try {
          images.push(await readImage(file, size))
          read.push(file)
        } catch (error) {
          // One that cannot be read does not keep the others from being looked at.
          if (!(error instanceof LocalformerError)) throw error
          failures.push({ file, error })
        }
      }
      const settings = { classes, mean, std, top, exits, signal }
      const found = await predict(trainer, images, settings)
      predictions.push(
        ...found.map((prediction, k) => ({ file: read[k] as string, ...prediction })),
      )
    }
    return { predictions, failures }
  } finally {
    progress.finish()
  }
}

function documentOf(
  { spec }: LoadedRun,
  predictions: readonly FilePrediction[],
  failures: readonly FileFailure[],
): object {
  const failed = failures.map(({ file, error }) => ({
    ...{ file, code: error.code, message: error.message, hint: error.hint ?? null },
  }))
  return { schema: 1, run: spec.text, predictions, failures: failed }
}

/** The first ones by name, on standard error. */
function tellFailures(failures: readonly FileFailure[]): void {
  for (const { error } of failures.slice(0, TOLD)) {
    warn(`localformer: ${error.message} [${error.code}]`)
  }
  if (failures.length > TOLD) warn(`localformer: and ${failures.length - TOLD} more like these`)
}

/** The one error of a command that read no image at all. */
function noneRead(failures: readonly FileFailure[]): LocalformerError {
  const [first, ...others] = failures.map(({ error }) => error)
  if (first === undefined || others.length === 0) {
    return first ?? new LocalformerError('ERR_DATASET', 'There is no image')
  }
  return new LocalformerError(
    'ERR_DATASET',
    `None of ${failures.length} images could be read. The first: ${first.message}`,
    {
      cause: first,
      ...(first.hint === undefined ? {} : { hint: first.hint }),
      details: { files: failures.map(({ file }) => file) },
    },
  )
}

/** A row a file with the classes from the left; below it, where asked for, a row a module. */
function formatPredictions(results: readonly FilePrediction[], modules: readonly string[]): string {
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

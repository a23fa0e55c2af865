// `localformer predict`: the most probable classes of image files, by a trained network.

import { createHash } from 'node:crypto'
import type { Argv } from 'yargs'
import { type ErrorCode, expected, LocalformerError } from '../../base/errors.js'
import { integer } from '../../base/validate.js'
import { type Image, imageFilesOf, readImage } from '../../datasets/read-image.js'
import { inRounds, inTurn } from '../../distributed/rounds.js'
import { type Guess, type Prediction, predict } from '../../evaluate/predict.js'
import { agreeOnShares } from '../../evaluate/shares.js'
import { type LoadedRun, loadRun } from '../../run-folder/load-run.js'
import {
  type Command,
  type GlobalOptions,
  isTeller,
  printJson,
  printText,
  warn,
} from '../command.js'
import { untilInterrupted } from '../interrupt.js'
import { commandProgress } from '../progress.js'
import { amongRanks, isSeveral, type JoinArguments, joinOptions } from '../ranks.js'
import { placeOfWeights, type WeightsArguments, weightsOption } from '../run-weights.js'
import { formatTable } from '../table.js'
import { type ThreadArguments, threadsOption, useThreads } from '../threads.js'

interface PredictArguments extends WeightsArguments, ThreadArguments, JoinArguments {
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

/** Plain, since it may be another rank's. */
interface FileFailure {
  readonly file: string
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string | null
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
      .options(threadsOption)
      .options(joinOptions)
      .example(
        '$0 predict runs/mine cat.png photos',
        'a file, and all images below a folder',
      ) as unknown as Argv<GlobalOptions & PredictArguments>,
  handler: (options) => {
    if (!integer(1).safeParse(options.top).success) {
      throw new LocalformerError(
        'ERR_CONFIG',
        expected('a whole number of at least 1', 'top', options.top),
      )
    }
    return amongRanks(options, () => predictOn(options))
  },
}

async function predictOn(options: GlobalOptions & PredictArguments): Promise<void> {
  useThreads(options)
  const files = await imageFilesOf(options.files)
  const run = await loadRun(await placeOfWeights(options.run, options), options.device)
  await using _ = run.model
  await untilInterrupted(async (signal) => {
    const { predictions, failures } = await predictFiles(run, files, options, signal)
    if (predictions.length === 0) throw noneRead(failures)
    if (!isTeller()) return
    const modules = run.trainer.modules.map(({ name }) => name)
    if (options.json) printJson(documentOf(run, predictions, failures))
    else printText(formatPredictions(predictions, modules))
    tellFailures(failures)
    if (failures.length > 0) process.exitCode = 1
  })
}

/** What became of some files. */
interface FilesPredicted {
  readonly predictions: readonly FilePrediction[]
  readonly failures: readonly FileFailure[]
}

async function predictFiles(
  run: LoadedRun,
  files: readonly string[],
  options: GlobalOptions & PredictArguments,
  signal: AbortSignal,
): Promise<FilesPredicted> {
  const progress = commandProgress(options)
  const count = Math.ceil(files.length / FILES_AT_A_TIME)
  const predictGroup = (group: number): Promise<FilesPredicted> => {
    const done = group * FILES_AT_A_TIME
    progress.update({ label: 'Predicting', done, total: files.length, unit: 'files' })
    return predictSome(run, files.slice(done, done + FILES_AT_A_TIME), options)
  }
  try {
    let groups: FilesPredicted[]
    if (isSeveral()) {
      const { top, exits } = options
      const { dataset, classes, mean, std } = run
      await agreeOnShares('prediction', run.trainer, {
        ...{ files: files.length, namesSha256: digestOf(files) },
        ...{ top, exits, dataset, classes, mean, std },
      })
      groups = await inRounds(count, predictGroup, signal)
    } else {
      groups = await inTurn(count, predictGroup, signal)
    }
    return {
      predictions: groups.flatMap(({ predictions }) => predictions),
      failures: groups.flatMap(({ failures }) => failures),
    }
  } finally {
    progress.finish()
  }
}

function digestOf(files: readonly string[]): string {
  return createHash('sha256').update(files.join('\0')).digest('hex')
}

async function predictSome(
  { trainer, model, dataset, classes, mean, std }: LoadedRun,
  files: readonly string[],
  { top, exits }: PredictArguments,
): Promise<FilesPredicted> {
  // Prepared as the images were that it learned from.
  const size = dataset === 'image-folder' ? { size: model.config.imageSize } : {}
  const images: Image[] = []
  const read: string[] = []
  const failures: FileFailure[] = []
  for (const file of files) {
    try {
      images.push(await readImage(file, size))
      read.push(file)
    } catch (error) {
      // One that cannot be read does not keep the others from being looked at.
      if (!(error instanceof LocalformerError)) throw error
      const { code, message, hint } = error
      failures.push({ file, code, message, hint: hint ?? null })
    }
  }
  const found = await predict(trainer, images, { classes, mean, std, top, exits })
  const predictions = found.map((prediction, k) => ({ file: read[k] as string, ...prediction }))
  return { predictions, failures }
}

function documentOf(
  { spec }: LoadedRun,
  predictions: readonly FilePrediction[],
  failures: readonly FileFailure[],
): object {
  return { schema: 1, run: spec.text, predictions, failures }
}

/** The first ones by name, on standard error. */
function tellFailures(failures: readonly FileFailure[]): void {
  for (const { message, code } of failures.slice(0, TOLD)) {
    warn(`localformer: ${message} [${code}]`)
  }
  if (failures.length > TOLD) warn(`localformer: and ${failures.length - TOLD} more like these`)
}

/** The one error of a command that read no image at all. */
function noneRead(failures: readonly FileFailure[]): LocalformerError {
  const [first, ...others] = failures
  if (first === undefined) return new LocalformerError('ERR_DATASET', 'There is no image')
  const hint = first.hint === null ? {} : { hint: first.hint }
  if (others.length === 0) return new LocalformerError(first.code, first.message, hint)
  return new LocalformerError(
    'ERR_DATASET',
    `None of ${failures.length} images could be read. The first: ${first.message}`,
    { ...hint, details: { files: failures.map(({ file }) => file) } },
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

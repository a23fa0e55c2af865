// The options that name a data set, shared by every command that reads one, and what they open.

import type { Options } from 'yargs'
import { openDataModule } from '../datasets/data-module.js'
import type { Dataset } from '../datasets/dataset.js'
import type { FetchProgress } from '../datasets/fetch.js'
import { DATASETS, openDataset } from '../datasets/open.js'
import type { GlobalOptions } from './command.js'
import { commandProgress, type ProgressUpdate } from './progress.js'

const group = 'Data:'

export const dataOptions = {
  dataset: {
    type: 'string',
    default: 'cifar10',
    requiresArg: true,
    describe: `One of ${DATASETS.map(({ name }) => name).join(', ')}`,
    group,
  },
  'data-dir': {
    type: 'string',
    requiresArg: true,
    describe:
      'Folder with the files, or its parent; default: the cache. For image-folder: the photos',
    group,
  },
} as const satisfies Readonly<Record<string, Options>>

export const dataModuleOption = {
  'data-module': {
    type: 'string',
    requiresArg: true,
    describe: 'JavaScript module whose default export is the data set; it is run',
    group,
  },
} as const satisfies Readonly<Record<string, Options>>

/** What a handler finds of {@link dataOptions}. */
export interface DataArguments {
  dataset: string
  dataDir: string | undefined
}

/**
 * The data set, with the decoding of photos shown as it goes. They are brought to the size of the
 * network's input, where the command knows it.
 */
export async function openDataOf(
  argv: DataArguments &
    GlobalOptions & {
      readonly imageSize?: number | undefined
      readonly dataModule?: string | undefined
    },
): Promise<Dataset> {
  const { dataset, dataDir, imageSize, dataModule } = argv
  if (dataModule !== undefined) return openDataModule(dataModule)
  const progress = commandProgress(argv)
  try {
    return await openDataset(dataset, {
      dataDir,
      ...(imageSize === undefined ? {} : { imageFolder: { imageSize } }),
      onProgress: (event) => {
        if (event.type === 'progress') progress.update(fetchUpdate(event, dataset))
      },
    })
  } finally {
    progress.finish()
  }
}

const PHASES: Readonly<Record<FetchProgress['phase'], string>> = {
  download: 'Downloading',
  unpack: 'Unpacking',
  convert: 'Converting',
  check: 'Checking',
  decode: 'Decoding',
}

/** How a step of a fetch, or of decoding photos, is shown. */
export function fetchUpdate(event: FetchProgress, dataset: string): ProgressUpdate {
  const { phase, done, total, unit } = event
  return { label: `${PHASES[phase]} ${dataset}`, done, total, unit }
}

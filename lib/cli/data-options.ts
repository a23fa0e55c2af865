// The options that name a data set, shared by every command that reads one, and what they open.
import type { Options } from 'yargs'
import type { Dataset } from '../datasets/dataset.js'
import { DATASETS, openDataset } from '../datasets/open.js'

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
    describe: 'Folder with the files, or its parent; default: the cache',
    group,
  },
} as const satisfies Readonly<Record<string, Options>>

/** What a handler finds of {@link dataOptions}. */
export interface DataArguments {
  dataset: string
  dataDir: string | undefined
}

export function openDataOf(argv: DataArguments): Promise<Dataset> {
  return openDataset(argv.dataset, { dataDir: argv.dataDir })
}

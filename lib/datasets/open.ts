// Name -> Dataset: the one list of built-in data sets.
import { expected, LocalformerError } from '../base/errors.js'
import { checkCallback, checkFile, checkKeys, checkSignal, readArgument } from '../base/validate.js'
import { cifar10 } from './cifar10-fetch.js'
import { cifar100 } from './cifar100.js'
import type { Dataset } from './dataset.js'
import { type DatasetEntry, OPEN_KEYS, type OpenOptions, SIZES } from './entry.js'
import { imageFolder } from './image-folder.js'
import { stl10 } from './stl10.js'
import { svhn, svhnExtra } from './svhn.js'
import { synthetic } from './synthetic.js'

export type { DatasetEntry, OpenOptions } from './entry.js'

/** What a configuration calls the images of a script. */
export const OWN_DATASET = 'own'

const own: DatasetEntry = {
  name: OWN_DATASET,
  description: 'images of a script or of --data-module; cannot be opened by its name',
  imageSize: 32,
  classes: null,
  recipe: null,
  needsDataDir: false,
  open() {
    throw new LocalformerError(
      'ERR_DATASET',
      'The images are those of a script, not of a data set',
      {
        hint:
          'In a script give them as `data`; on the command line name the module that exports them: ' +
          '--data-module data.mjs.',
      },
    )
  },
}

/** @throws {LocalformerError} `ERR_CONFIG` that lists the names there are. */
export function findDataset(name: string): DatasetEntry {
  const entry = [...DATASETS, own].find((candidate) => candidate.name === name)
  if (entry) return entry
  const names = DATASETS.map((candidate) => candidate.name).join(', ')
  throw new LocalformerError('ERR_CONFIG', expected(`one of ${names}`, 'dataset', name), {
    hint:
      'Images of your own: photos in folders with `image-folder`, arrays in memory with ' +
      '`defineDataset`, which the command line takes from a module with --data-module.',
  })
}

export const DATASETS: readonly DatasetEntry[] = [
  cifar10,
  cifar100,
  stl10,
  svhn,
  svhnExtra,
  imageFolder,
  synthetic,
]

/**
 * Opens a data set by name and reads it into memory.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for an unknown name or option; `ERR_DATASET` when files are
 *   missing, truncated or wrong, or cannot be fetched; `ERR_CHECKSUM` when what was fetched is not the
 *   data set.
 */
export async function openDataset(name: string, options: OpenOptions = {}): Promise<Dataset> {
  const checked = readArgument('options', () => checkOpen(options))
  const dataset = await findDataset(name).open(checked)
  checked.signal?.throwIfAborted()
  sources.set(dataset, { name, dataDir: checked.dataDir })
  return dataset
}

/** The options as they are now: read once. */
function checkOpen(options: OpenOptions): OpenOptions {
  checkKeys(options, 'options', OPEN_KEYS)
  const { dataDir, download, signal, onProgress, synthetic, imageFolder } = options
  if (dataDir !== undefined) checkFile(dataDir, 'dataDir', 'the name of a folder')
  if (download !== undefined && typeof download !== 'boolean') {
    throw new LocalformerError('ERR_CONFIG', expected('true or false', 'download', download))
  }
  checkSignal(signal)
  checkCallback(onProgress, 'onProgress')
  const sizes = {
    ...(synthetic === undefined ? {} : { synthetic: checkedKeys(synthetic, 'synthetic') }),
    ...(imageFolder === undefined ? {} : { imageFolder: checkedKeys(imageFolder, 'imageFolder') }),
  }
  return { dataDir, download, signal, onProgress, ...sizes }
}

function checkedKeys<T extends object>(options: T, name: keyof typeof SIZES): T {
  checkKeys(options, name, SIZES[name])
  return { ...options }
}

/** How a data set was opened. */
export interface DatasetSource {
  readonly name: string
  readonly dataDir: string | undefined
}

const sources = new WeakMap<Dataset, DatasetSource>()

/** @internal How a data set was opened; undefined for one that a script made. */
export function sourceOf(dataset: Dataset): DatasetSource | undefined {
  return sources.get(dataset)
}

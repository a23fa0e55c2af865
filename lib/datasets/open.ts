// Name -> Dataset: the one list of built-in data sets, and the way from a name to its images.
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { expected, LocalformerError } from '../errors.js'
import { checkKeys } from '../validate.js'
import { CIFAR10_BATCH_FILES, CIFAR10_FOLDER, readCifar10 } from './cifar10.js'
import { cifar10Recipe } from './cifar10-fetch.js'
import type { Dataset } from './dataset.js'
import {
  type DatasetRecipe,
  datasetsDirectory,
  type FetchEvent,
  fetchDataset,
  isComplete,
} from './fetch.js'
import { type SyntheticOptions, syntheticDataset } from './synthetic.js'

export interface OpenOptions {
  /**
   * Folder with the data set's files, or the folder that holds that one; the network is then never
   * touched. Default: the cache, where `localformer dataset fetch` puts them.
   */
  readonly dataDir?: string | undefined
  /** Fetch what is not in the cache; default false. */
  readonly download?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** What a fetch tells while it runs. */
  readonly onProgress?: ((event: FetchEvent) => void) | undefined
  /** Sizes and seed of the `synthetic` data set. */
  readonly synthetic?: SyntheticOptions | undefined
}

/** A data set that the package knows by name. */
export interface DatasetEntry {
  readonly name: string
  readonly description: string
  /** Where its files come from; null where it needs none. */
  readonly recipe: DatasetRecipe | null
  open(options: OpenOptions): Promise<Dataset>
}

export const DATASETS: readonly DatasetEntry[] = [
  {
    name: 'cifar10',
    description: 'CIFAR-10: 50,000 + 10,000 photos of 32 x 32 pixels in 10 classes',
    recipe: cifar10Recipe(),
    open: (options) => openCifar10(cifar10Recipe(), options),
  },
  {
    name: 'synthetic',
    description: 'Coloured waves under noise, made from a seed; for trying out without a download',
    recipe: null,
    open: async (options) => syntheticDataset(options.synthetic),
  },
]

/**
 * Opens a data set by name and reads it into memory.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for an unknown name; `ERR_DATASET` when files are missing,
 *   truncated or wrong, or cannot be fetched; `ERR_CHECKSUM` when what was fetched is not the data set.
 */
export async function openDataset(name: string, options: OpenOptions = {}): Promise<Dataset> {
  checkKeys(options, 'options', ['dataDir', 'download', 'signal', 'onProgress', 'synthetic'])
  const dataset = await findDataset(name).open(options)
  options.signal?.throwIfAborted()
  return dataset
}

/** @throws {LocalformerError} `ERR_CONFIG` that lists the names there are. */
export function findDataset(name: string): DatasetEntry {
  const entry = DATASETS.find((candidate) => candidate.name === name)
  if (entry) return entry
  const names = DATASETS.map((candidate) => candidate.name).join(', ')
  throw new LocalformerError('ERR_CONFIG', expected(`one of ${names}`, 'dataset', name), {
    hint: 'Images of your own: make a data set of arrays with `defineDataset`.',
  })
}

async function openCifar10(recipe: DatasetRecipe, options: OpenOptions): Promise<Dataset> {
  const { dataDir, download = false, signal, onProgress } = options
  if (dataDir !== undefined) return readCifar10(await cifar10Folder(path.resolve(dataDir)))
  const directory = path.join(datasetsDirectory(), recipe.folder)
  if (download && !(await isComplete(directory, recipe))) {
    await fetchDataset(recipe, { signal, onEvent: onProgress })
  }
  // In the cache only the whole set is right; a subset is read with `dataDir`.
  return readCifar10(directory, { complete: true })
}

/** `dataDir` itself where it holds a batch, else the official folder in it where there is one. */
async function cifar10Folder(dataDir: string): Promise<string> {
  const isThere = (file: string) => stat(file).then(Boolean, () => false)
  for (const file of CIFAR10_BATCH_FILES) {
    if (await isThere(path.join(dataDir, file))) return dataDir
  }
  const inner = path.join(dataDir, CIFAR10_FOLDER)
  return (await isThere(inner)) ? inner : dataDir
}

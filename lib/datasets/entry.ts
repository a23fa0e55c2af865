// What a data set is that the package knows by name, and how one is opened whose files are fetched.
import path from 'node:path'
import { isThere } from '../base/files.js'
import type { Dataset } from './dataset.js'
import {
  type DatasetRecipe,
  datasetsDirectory,
  type FetchEvent,
  fetchDataset,
  isComplete,
} from './fetch.js'

export interface ImageFolderOptions {
  /** Side in pixels to which every photo is brought; default 224. */
  readonly imageSize?: number
}

export interface SyntheticOptions {
  /** Images of the train split; default 512. */
  readonly trainCount?: number
  /** Images of the test split; default 128. */
  readonly testCount?: number
  /** Height and width in pixels; default 32. */
  readonly imageSize?: number
  /** Number of classes, at most 65,536; default 10. */
  readonly classes?: number
  /** Same seed, same images; default 0. */
  readonly seed?: number
}

export interface OpenOptions {
  /**
   * Folder with the data set's files, or the folder that holds that one; the network is then never
   * touched. Default: the cache, where `localformer dataset fetch` puts them. `image-folder` has no
   * default.
   */
  readonly dataDir?: string | undefined
  /** Fetch what is not in the cache; default false. */
  readonly download?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** What a fetch, or the decoding of photos, tells while it runs. */
  readonly onProgress?: ((event: FetchEvent) => void) | undefined
  /** Sizes and seed of the `synthetic` data set. */
  readonly synthetic?: SyntheticOptions | undefined
  /** Size to which `image-folder` brings its photos. */
  readonly imageFolder?: ImageFolderOptions | undefined
}

/** Every key of {@link OpenOptions}. */
export const OPEN_KEYS: readonly (keyof OpenOptions)[] = [
  'dataDir',
  'download',
  'signal',
  'onProgress',
  'synthetic',
  'imageFolder',
]

/** Keys of the options that give sizes. */
export const SIZES = {
  synthetic: ['trainCount', 'testCount', 'imageSize', 'classes', 'seed'],
  imageFolder: ['imageSize'],
} as const satisfies Readonly<Record<string, readonly string[]>>

/** A data set that the package knows by name. */
export interface DatasetEntry {
  readonly name: string
  readonly description: string
  /** Side in pixels of its images, or that to which they are brought. */
  readonly imageSize: number
  /** Number of classes; null where the folder, or a script, has them. */
  readonly classes: number | null
  /** How its files are fetched; null where there are none to fetch. */
  readonly recipe: DatasetRecipe | null
  /** Read from a folder of the user's own, without which it cannot be opened. */
  readonly needsDataDir: boolean
  open(options: OpenOptions): Promise<Dataset>
}

export interface ReadOptions {
  /** Demand the official number of images of every file; default false, so that subsets are read too. */
  readonly complete?: boolean
}

/** What a data set with official files brings to become an entry. */
export interface FilesEntry {
  readonly name: string
  readonly description: string
  /** Side of its images in pixels. */
  readonly imageSize: number
  readonly classes: number
  readonly recipe: DatasetRecipe
  /** The folder that is looked for in `dataDir`, where its name is not the recipe's. */
  readonly folder?: string
  read(directory: string, options?: ReadOptions): Promise<Dataset>
}

/** An entry whose files are read where `dataDir` says, or in the cache, fetched first if asked for. */
export function filesEntry(entry: FilesEntry): DatasetEntry {
  const { name, description, imageSize, classes, recipe, folder, read } = entry
  const files = recipe.files.map((file) => file.name)
  return {
    name,
    description,
    imageSize,
    classes,
    recipe,
    needsDataDir: false,
    async open({ dataDir, download = false, signal, onProgress }) {
      if (dataDir !== undefined) {
        return read(await folderOf(path.resolve(dataDir), files, folder ?? recipe.folder))
      }
      const directory = path.join(datasetsDirectory(), recipe.folder)
      if (download && !(await isComplete(directory, recipe))) {
        await fetchDataset(recipe, { signal, onEvent: onProgress })
      }
      // In the cache only the whole set is right; a subset is read with `dataDir`.
      return read(directory, { complete: true })
    },
  }
}

/** `dataDir` itself where it holds one of the files, else the folder of that name in it, if any. */
async function folderOf(
  dataDir: string,
  files: readonly string[],
  folder: string,
): Promise<string> {
  for (const file of files) {
    if (await isThere(path.join(dataDir, file))) return dataDir
  }
  const inner = path.join(dataDir, folder)
  return (await isThere(inner)) ? inner : dataDir
}

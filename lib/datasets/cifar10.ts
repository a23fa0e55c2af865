// CIFAR-10 in its official binary layout -> Dataset. A record is one label byte and 3 x 32 x 32
// pixel bytes, planar RGB, row by row. Krizhevsky, "Learning Multiple Layers of Features from Tiny
// Images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { LocalformerError } from '../errors.js'
import { type Dataset, defineDataset, type Rgb, type SplitDefinition } from './dataset.js'

/** The folder's name in the official archive and in the cache. */
export const CIFAR10_FOLDER = 'cifar-10-batches-bin'
export const CIFAR10_META_FILE = 'batches.meta.txt'
export const CIFAR10_TRAIN_FILES = [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`)
export const CIFAR10_TEST_FILE = 'test_batch.bin'
export const CIFAR10_BATCH_FILES: readonly string[] = [...CIFAR10_TRAIN_FILES, CIFAR10_TEST_FILE]

/** Pixels of an image's side. */
export const CIFAR10_SIZE = 32
export const CIFAR10_IMAGE_BYTES = 3 * CIFAR10_SIZE * CIFAR10_SIZE
export const CIFAR10_RECORD_BYTES = 1 + CIFAR10_IMAGE_BYTES
/** Records of each official file. */
export const CIFAR10_BATCH_RECORDS = 10_000

export const CIFAR10_CLASSES: readonly string[] = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
]
/** Of the 50,000 official train images, pixels scaled to 0..1. Subsets are normalised alike. */
export const CIFAR10_MEAN: Rgb = [0.4914, 0.4822, 0.4465]
export const CIFAR10_STD: Rgb = [0.247, 0.2435, 0.2616]

const FETCH_HINT =
  'Run `localformer dataset fetch cifar10`, or name a folder that has the files with `--data-dir`.'

export interface ReadCifar10Options {
  /** Demand the official number of records of every file; default false, so that subsets are read too. */
  readonly complete?: boolean
}

/**
 * Reads the folder with the `.bin` files. Files with fewer records than the official ones are read
 * as they are, unless `complete`. Holds 184 MB for the whole set, and one file (31 MB) more while reading.
 *
 * @throws {LocalformerError} `ERR_DATASET` when files are missing, truncated or hold a label that is no class.
 */
export async function readCifar10(
  directory: string,
  options: ReadCifar10Options = {},
): Promise<Dataset> {
  const sizes = await fileSizes(directory)
  for (const [file, bytes] of sizes) checkSize(path.join(directory, file), bytes, options)
  const classes = await readClasses(directory)
  const read = (files: readonly string[]) => readSplit(directory, files, sizes, classes.length)
  return defineDataset({
    name: 'cifar10',
    classes,
    mean: CIFAR10_MEAN,
    std: CIFAR10_STD,
    train: await read(CIFAR10_TRAIN_FILES),
    test: await read([CIFAR10_TEST_FILE]),
  })
}

async function fileSizes(directory: string): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>()
  const missing: string[] = []
  for (const file of CIFAR10_BATCH_FILES) {
    const entry = await stat(path.join(directory, file)).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined
      throw new LocalformerError(
        'ERR_DATASET',
        `Cannot read ${path.join(directory, file)}: ${cause.message}`,
        { cause },
      )
    })
    if (entry?.isFile()) sizes.set(file, entry.size)
    else missing.push(file)
  }
  if (missing.length > 0) {
    throw new LocalformerError(
      'ERR_DATASET',
      `CIFAR-10 is not complete in ${directory}: missing ${missing.join(', ')}`,
      { hint: FETCH_HINT, details: { directory, missing } },
    )
  }
  return sizes
}

function checkSize(file: string, bytes: number, { complete = false }: ReadCifar10Options): void {
  const official = CIFAR10_BATCH_RECORDS * CIFAR10_RECORD_BYTES
  const wanted = complete
    ? `${official} bytes`
    : `a multiple of ${CIFAR10_RECORD_BYTES} bytes (a record), at least one`
  const right = complete ? bytes === official : bytes > 0 && bytes % CIFAR10_RECORD_BYTES === 0
  if (right) return
  throw new LocalformerError('ERR_DATASET', `${file} has ${bytes} bytes, expected ${wanted}`, {
    hint: `The file is truncated or not a CIFAR-10 batch. ${FETCH_HINT}`,
    details: { file, bytes },
  })
}

/** The class names of `batches.meta.txt`; the official ones where a subset comes without it. */
async function readClasses(directory: string): Promise<readonly string[]> {
  const file = path.join(directory, CIFAR10_META_FILE)
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new LocalformerError('ERR_DATASET', `Cannot read ${file}: ${cause.message}`, { cause })
  })
  if (text === undefined) return CIFAR10_CLASSES
  const names = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  if (names.length !== CIFAR10_CLASSES.length) {
    throw new LocalformerError(
      'ERR_DATASET',
      `${file} names ${names.length} classes, expected ${CIFAR10_CLASSES.length}, one a line`,
      { hint: FETCH_HINT },
    )
  }
  return names
}

async function readSplit(
  directory: string,
  files: readonly string[],
  sizes: ReadonlyMap<string, number>,
  classCount: number,
): Promise<SplitDefinition> {
  const records = files.map((file) => (sizes.get(file) as number) / CIFAR10_RECORD_BYTES)
  const count = records.reduce((sum, number) => sum + number, 0)
  const images = new Uint8Array(count * CIFAR10_IMAGE_BYTES)
  const labels = new Uint8Array(count)
  let first = 0
  for (const name of files) {
    const file = path.join(directory, name)
    const bytes = await readFile(file).catch((cause: Error) => {
      throw new LocalformerError('ERR_DATASET', `Cannot read ${file}: ${cause.message}`, { cause })
    })
    // A file that changes while it is read must not shift what follows it.
    checkUnchanged(file, bytes.length, sizes.get(name) as number)
    first += copyRecords(file, bytes, classCount, images, labels, first)
  }
  return { images, labels, height: CIFAR10_SIZE, width: CIFAR10_SIZE }
}

function checkUnchanged(file: string, bytes: number, before: number): void {
  if (bytes === before) return
  throw new LocalformerError(
    'ERR_DATASET',
    `${file} changed while it was read: ${before} bytes, then ${bytes}`,
  )
}

/** Takes a file's records apart into `images` and `labels` from image `first` on; returns how many. */
function copyRecords(
  file: string,
  bytes: Uint8Array,
  classCount: number,
  images: Uint8Array,
  labels: Uint8Array,
  first: number,
): number {
  const count = bytes.length / CIFAR10_RECORD_BYTES
  for (let record = 0; record < count; record++) {
    const start = record * CIFAR10_RECORD_BYTES
    const label = bytes[start] as number
    if (label >= classCount) {
      throw new LocalformerError(
        'ERR_DATASET',
        `${file}: record ${record} has label ${label}, expected 0..${classCount - 1}`,
        { hint: FETCH_HINT, details: { file, record, label } },
      )
    }
    labels[first + record] = label
    images.set(
      bytes.subarray(start + 1, start + CIFAR10_RECORD_BYTES),
      (first + record) * CIFAR10_IMAGE_BYTES,
    )
  }
  return count
}

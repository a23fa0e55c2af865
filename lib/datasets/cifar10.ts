// CIFAR-10 in its official binary layout (see cifar-binary.ts) -> Dataset.
import { CIFAR_IMAGE_BYTES, type CifarFile, readCifarSplit } from './cifar-binary.js'
import { DataFiles } from './data-files.js'
import { type Dataset, defineDataset, type Rgb } from './dataset.js'
import type { ReadOptions } from './entry.js'

/** The folder's name in the official archive and in the cache. */
export const CIFAR10_FOLDER = 'cifar-10-batches-bin'
export const CIFAR10_META_FILE = 'batches.meta.txt'
export const CIFAR10_TRAIN_FILES = [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`)
export const CIFAR10_TEST_FILE = 'test_batch.bin'
export const CIFAR10_BATCH_FILES: readonly string[] = [...CIFAR10_TRAIN_FILES, CIFAR10_TEST_FILE]

export const CIFAR10_RECORD_BYTES = 1 + CIFAR_IMAGE_BYTES
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

/**
 * Reads the folder with the `.bin` files. Files with fewer records than the official ones are read
 * as they are, unless `complete`. Holds 184 MB for the whole set, and one file (31 MB) more while reading.
 *
 * @throws {LocalformerError} `ERR_DATASET` when files are missing, truncated or hold a label that is no class.
 */
export async function readCifar10(
  directory: string,
  { complete = false }: ReadOptions = {},
): Promise<Dataset> {
  const files = new DataFiles('cifar10', 'CIFAR-10', directory)
  const sizes = await files.sizes(CIFAR10_BATCH_FILES)
  const classes = await files.names(CIFAR10_META_FILE, CIFAR10_CLASSES)
  const labels = [{ what: 'label', classes: classes.length }]
  const read = (names: readonly string[]) =>
    readCifarSplit(files, names.map(batchFile), sizes, labels, complete)
  return defineDataset({
    name: 'cifar10',
    classes,
    mean: CIFAR10_MEAN,
    std: CIFAR10_STD,
    train: await read(CIFAR10_TRAIN_FILES),
    test: await read([CIFAR10_TEST_FILE]),
  })
}

function batchFile(name: string): CifarFile {
  return { name, images: CIFAR10_BATCH_RECORDS }
}

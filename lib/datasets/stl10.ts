// STL-10 in its official binary layout -> Dataset. Images are 3 x 96 x 96 bytes, planar RGB, each plane
// column by column; labels are bytes 1 to 10. The 100,000 images without labels are left out. Coates,
// Lee, Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011;
// https://cs.stanford.edu/~acoates/stl10/
import { DataFiles, transposePlanes } from './data-files.js'
import { type Dataset, defineDataset, type Rgb, type SplitDefinition } from './dataset.js'
import { filesEntry, type ReadOptions } from './entry.js'
import type { DatasetRecipe, RecipeFile } from './fetch.js'
import { type Address, archiveSource, localSource, plainLayout } from './sources.js'

/** The folder's name in the official archive and in the cache. */
export const STL10_FOLDER = 'stl10_binary'
export const STL10_NAMES_FILE = 'class_names.txt'
/** Pixels of an image's side. */
export const STL10_SIZE = 96
export const STL10_IMAGE_BYTES = 3 * STL10_SIZE * STL10_SIZE
const TRAIN = { images: 'train_X.bin', labels: 'train_y.bin', count: 5_000 }
const TEST = { images: 'test_X.bin', labels: 'test_y.bin', count: 8_000 }
const FILES = [TRAIN.images, TRAIN.labels, TEST.images, TEST.labels]

/** As in the official `class_names.txt`. */
export const STL10_CLASSES: readonly string[] = [
  'airplane',
  'bird',
  'car',
  'cat',
  'deer',
  'dog',
  'horse',
  'monkey',
  'ship',
  'truck',
]
/** Of the 5,000 labelled train images, as widely used with torchvision. Subsets are normalised alike. */
export const STL10_MEAN: Rgb = [0.4467, 0.4398, 0.4066]
export const STL10_STD: Rgb = [0.2603, 0.2566, 0.2713]

/**
 * Reads the folder with the `.bin` files. Files with fewer images than the official ones are read as
 * they are, unless `complete`. Holds 360 MB for the whole set.
 *
 * @throws {LocalformerError} `ERR_DATASET` when files are missing, truncated or do not belong
 *   together, or a label is no class.
 */
export async function readStl10(
  directory: string,
  { complete = false }: ReadOptions = {},
): Promise<Dataset> {
  const files = new DataFiles('stl10', 'STL-10', directory)
  const sizes = await files.sizes(FILES)
  const classes = await files.names(STL10_NAMES_FILE, STL10_CLASSES)
  return defineDataset({
    name: 'stl10',
    classes,
    mean: STL10_MEAN,
    std: STL10_STD,
    train: await readSplit(files, TRAIN, sizes, complete),
    test: await readSplit(files, TEST, sizes, complete),
  })
}

async function readSplit(
  files: DataFiles,
  split: typeof TRAIN,
  sizes: ReadonlyMap<string, number>,
  complete: boolean,
): Promise<SplitDefinition> {
  const bytesOf = (name: string) => sizes.get(name) as number
  const size = { recordBytes: STL10_IMAGE_BYTES, most: split.count, complete }
  const count = files.records(split.images, bytesOf(split.images), size)
  if (bytesOf(split.labels) !== count) {
    throw files.error(
      split.labels,
      ` has ${bytesOf(split.labels)} labels, but ${split.images} has ${count} images`,
    )
  }
  const labels = await files.read(split.labels, count)
  const images = await files.read(split.images, bytesOf(split.images))
  const wrong = labels.findIndex((label) => label < 1 || label > STL10_CLASSES.length)
  if (wrong >= 0) {
    throw files.error(
      split.labels,
      `: label ${labels[wrong]} of image ${wrong}, expected 1..${STL10_CLASSES.length}`,
      { record: wrong, label: labels[wrong] },
    )
  }
  transposePlanes(images, STL10_SIZE)
  return {
    images,
    labels: labels.map((label) => label - 1),
    height: STL10_SIZE,
    width: STL10_SIZE,
  }
}

/** What tests replace to fetch something small from somewhere near. */
export interface Stl10Sources {
  readonly archive: Address
  readonly files: readonly RecipeFile[]
  readonly neededBytes: number
}

export const STL10_SOURCES: Stl10Sources = {
  // Address and all sums: torchvision/datasets/stl10.py.
  archive: {
    url: 'http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz',
    md5: '91f7769df0f17e558f3565bffb0c7dfb',
    limits: { connectMs: 30_000, stallMs: 60_000, attempts: 20 },
  },
  files: [
    { name: TRAIN.images, bytes: 138_240_000, md5: '918c2871b30a85fa023e0c44e0bee87f' },
    { name: TRAIN.labels, bytes: 5_000, md5: '5a34089d4802c674881badbb80307741' },
    { name: TEST.images, bytes: 221_184_000, md5: '7f263ba9f9e0b06b93213547f721ac82' },
    { name: TEST.labels, bytes: 8_000, md5: '36f9794fa4beb8a2c72628de14fa638e' },
  ],
  // The archive (2,640 MB) and what is taken of it (359 MB); the rest of it is never written.
  neededBytes: 2_900 * 1024 ** 2,
}

/** How STL-10 is fetched. */
export function stl10Recipe(sources: Stl10Sources = STL10_SOURCES): DatasetRecipe {
  const layout = plainLayout('STL-10', STL10_FOLDER, sources.files, [STL10_NAMES_FILE])
  return {
    dataset: 'stl10',
    folder: STL10_FOLDER,
    files: sources.files,
    neededBytes: sources.neededBytes,
    addresses: [sources.archive.url],
    sources: [archiveSource(layout, sources.archive)],
    fromLocal: (from) => localSource(layout, from),
  }
}

export const stl10 = filesEntry({
  name: 'stl10',
  description: 'STL-10: 5,000 + 8,000 photos of 96 x 96 pixels in 10 classes (a 2.6 GB download)',
  imageSize: STL10_SIZE,
  classes: 10,
  recipe: stl10Recipe(),
  read: readStl10,
})

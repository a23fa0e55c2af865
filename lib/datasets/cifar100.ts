// CIFAR-100 in its official binary layout (see cifar-binary.ts) -> Dataset. A record begins with the
// coarse label (one of 20 superclasses, not used here) and the fine one.
import { CIFAR_SIZE, type CifarFile, readCifarSplit } from './cifar-binary.js'
import { DataFiles } from './data-files.js'
import { type Dataset, defineDataset, type Rgb } from './dataset.js'
import { filesEntry, type ReadOptions } from './entry.js'
import type { DatasetRecipe, RecipeFile } from './fetch.js'
import { type Address, archiveSource, localSource, plainLayout } from './sources.js'

/** The folder's name in the official archive and in the cache. */
export const CIFAR100_FOLDER = 'cifar-100-binary'
export const CIFAR100_NAMES_FILE = 'fine_label_names.txt'
const COARSE_NAMES_FILE = 'coarse_label_names.txt'
const TRAIN: CifarFile = { name: 'train.bin', images: 50_000 }
const TEST: CifarFile = { name: 'test.bin', images: 10_000 }
const COARSE_CLASSES = 20

/** Of the 50,000 official train images, as in weiaicunzai/pytorch-cifar100. Subsets are normalised alike. */
export const CIFAR100_MEAN: Rgb = [0.5071, 0.4865, 0.4409]
export const CIFAR100_STD: Rgb = [0.2673, 0.2564, 0.2762]

/** As in the official `fine_label_names.txt`. */
export const CIFAR100_CLASSES: readonly string[] = `
  apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
  butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
  crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
  keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
  mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
  porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
  snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
  tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
`
  .trim()
  .split(/\s+/)

/**
 * Reads the folder with `train.bin` and `test.bin`. Files with fewer records than the official ones
 * are read as they are, unless `complete`.
 *
 * @throws {LocalformerError} `ERR_DATASET` when files are missing, truncated or hold a label that is no class.
 */
export async function readCifar100(
  directory: string,
  { complete = false }: ReadOptions = {},
): Promise<Dataset> {
  const files = new DataFiles('cifar100', 'CIFAR-100', directory)
  const sizes = await files.sizes([TRAIN.name, TEST.name])
  const classes = await files.names(CIFAR100_NAMES_FILE, CIFAR100_CLASSES)
  const labels = [
    { what: 'coarse label', classes: COARSE_CLASSES },
    { what: 'fine label', classes: classes.length },
  ]
  return defineDataset({
    name: 'cifar100',
    classes,
    mean: CIFAR100_MEAN,
    std: CIFAR100_STD,
    train: await readCifarSplit(files, [TRAIN], sizes, labels, complete),
    test: await readCifarSplit(files, [TEST], sizes, labels, complete),
  })
}

/** What tests replace to fetch something small from somewhere near. */
export interface Cifar100Sources {
  readonly archive: Address
  readonly files: readonly RecipeFile[]
  readonly neededBytes: number
}

export const CIFAR100_SOURCES: Cifar100Sources = {
  // Address and md5 stand on https://www.cs.toronto.edu/~kriz/cifar.html.
  archive: {
    url: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
    md5: '03b5dce01913d631647c71ecec9e9cb8',
    limits: { connectMs: 30_000 },
  },
  // Sums of the files in it: torchvision for Ruby, lib/torchvision/datasets/cifar100.rb.
  files: [
    {
      name: TRAIN.name,
      bytes: 153_700_000,
      sha256: 'f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29',
    },
    {
      name: TEST.name,
      bytes: 30_740_000,
      sha256: 'd8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a',
    },
  ],
  // The archive (169 MB) and what is unpacked of it (184 MB).
  neededBytes: 400 * 1024 ** 2,
}

/** How CIFAR-100 is fetched. */
export function cifar100Recipe(sources: Cifar100Sources = CIFAR100_SOURCES): DatasetRecipe {
  const names = [CIFAR100_NAMES_FILE, COARSE_NAMES_FILE]
  const layout = plainLayout('CIFAR-100', CIFAR100_FOLDER, sources.files, names)
  return {
    dataset: 'cifar100',
    folder: CIFAR100_FOLDER,
    files: sources.files,
    neededBytes: sources.neededBytes,
    addresses: [sources.archive.url],
    sources: [archiveSource(layout, sources.archive)],
    fromLocal: (from) => localSource(layout, from),
  }
}

export const cifar100 = filesEntry({
  name: 'cifar100',
  description: 'CIFAR-100: 50,000 + 10,000 photos of 32 x 32 pixels in 100 classes',
  imageSize: CIFAR_SIZE,
  classes: 100,
  recipe: cifar100Recipe(),
  read: readCifar100,
})

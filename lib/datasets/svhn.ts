// SVHN's cropped digits in their official MATLAB files -> Dataset. X is 32 x 32 x 3 x N bytes, column
// by column; y is N labels 1 to 10, of which 10 means the digit 0. Netzer et al., "Reading Digits in
// Natural Images with Unsupervised Feature Learning", 2011; http://ufldl.stanford.edu/housenumbers/
import type { DownloadLimits } from '../base/download.js'
import { allocateImages, DataFiles, transposePlanes } from './data-files.js'
import { type Dataset, defineDataset, type Rgb, type SplitDefinition } from './dataset.js'
import { filesEntry, type ReadOptions } from './entry.js'
import type { DatasetRecipe, RecipeFile } from './fetch.js'
import { listMat, type MatVariable, readMatBytes, readMatNumbers } from './mat-file.js'
import { filesSource, localSource, plainLayout } from './sources.js'

/** The folders' names in the cache; the official files have none. */
export const SVHN_FOLDER = 'svhn'
export const SVHN_EXTRA_FOLDER = 'svhn-extra'
/** Pixels of an image's side. */
export const SVHN_SIZE = 32
const IMAGE_BYTES = 3 * SVHN_SIZE * SVHN_SIZE
const DIGITS = 10

interface SvhnFile {
  readonly name: string
  /** Images of the official file. */
  readonly images: number
}

const TRAIN: SvhnFile = { name: 'train_32x32.mat', images: 73_257 }
const TEST: SvhnFile = { name: 'test_32x32.mat', images: 26_032 }
const EXTRA: SvhnFile = { name: 'extra_32x32.mat', images: 531_131 }

/**
 * Of the 73,257 official train images, as widely used with torchvision. Subsets, and train with extra,
 * are normalised alike.
 */
export const SVHN_MEAN: Rgb = [0.4377, 0.4438, 0.4728]
export const SVHN_STD: Rgb = [0.198, 0.201, 0.197]

export interface ReadSvhnOptions extends ReadOptions {
  /** Put the images of `extra_32x32.mat` behind those of train; default false. */
  readonly extra?: boolean
}

/**
 * Reads the folder with the `.mat` files. Files with fewer images than the official ones are read as
 * they are, unless `complete`. Holds 305 MB for the whole set, 1.94 GB with `extra`.
 *
 * @throws {LocalformerError} `ERR_DATASET` when files are missing, truncated, or not of this layout, or
 *   a label is no digit.
 */
export async function readSvhn(
  directory: string,
  { complete = false, extra = false }: ReadSvhnOptions = {},
): Promise<Dataset> {
  const name = extra ? 'svhn-extra' : 'svhn'
  const files = new DataFiles(name, extra ? 'SVHN with its extra images' : 'SVHN', directory)
  const train = extra ? [TRAIN, EXTRA] : [TRAIN]
  await files.sizes([...train, TEST].map((file) => file.name))
  return defineDataset({
    name,
    classes: Array.from({ length: DIGITS }, (_, digit) => `${digit}`),
    mean: SVHN_MEAN,
    std: SVHN_STD,
    train: await readSplit(files, train, complete),
    test: await readSplit(files, [TEST], complete),
  })
}

async function readSplit(
  files: DataFiles,
  split: readonly SvhnFile[],
  complete: boolean,
): Promise<SplitDefinition> {
  const parts: Part[] = []
  for (const file of split) parts.push(await describeFile(files, file, complete))
  const total = parts.reduce((sum, { count }) => sum + count, 0)
  const images = allocateImages(files.title, total * IMAGE_BYTES)
  const labels = new Uint8Array(total)
  let first = 0
  for (const { name, count, x, y } of parts) {
    const place = first * IMAGE_BYTES
    await readMatBytes(files.path(name), x, images.subarray(place, place + count * IMAGE_BYTES))
    labels.set(toDigits(files, name, await readMatNumbers(files.path(name), y)), first)
    first += count
  }
  transposePlanes(images, SVHN_SIZE)
  return { images, labels, height: SVHN_SIZE, width: SVHN_SIZE }
}

interface Part {
  readonly name: string
  readonly count: number
  readonly x: MatVariable
  readonly y: MatVariable
}

async function describeFile(
  files: DataFiles,
  { name, images }: SvhnFile,
  complete: boolean,
): Promise<Part> {
  const variables = await listMat(files.path(name))
  const find = (wanted: string) => {
    const variable = variables.find((candidate) => candidate.name === wanted)
    if (variable?.data) return variable
    throw files.error(name, `: no numeric array ${wanted}, expected X and y`)
  }
  const [x, y] = [find('X'), find('y')]
  // A last dimension of 1 is left out.
  const [height, width, channels, count = 1, ...more] = x.dimensions
  const isLayout =
    height === SVHN_SIZE && width === SVHN_SIZE && channels === 3 && more.length === 0 && count > 0
  if (!isLayout || x.type !== 'uint8' || x.data?.storage !== 'uint8') {
    throw files.error(
      name,
      `: X is ${x.type} of ${x.dimensions.join(' x ')}, expected uint8 of ${SVHN_SIZE} x ` +
        `${SVHN_SIZE} x 3 x N`,
    )
  }
  if (y.count !== count) {
    throw files.error(name, `: y has ${y.count} labels, but X has ${count} images`)
  }
  if (complete ? count !== images : count > images) {
    throw files.error(name, `: ${count} images, expected ${complete ? '' : 'at most '}${images}`)
  }
  return { name, count, x, y }
}

function toDigits(files: DataFiles, name: string, labels: Float64Array): Uint8Array {
  return Uint8Array.from(labels, (label, image) => {
    if (Number.isInteger(label) && label >= 1 && label <= DIGITS) return label % DIGITS
    throw files.error(
      name,
      `: label ${label} of image ${image}, expected 1..${DIGITS} (${DIGITS} means the digit 0)`,
      { record: image, label },
    )
  })
}

/** What tests replace to fetch something small from somewhere near. */
export interface SvhnSources {
  /** What the files' names are put behind. */
  readonly base: string
  readonly limits?: Partial<DownloadLimits>
  readonly train: SvhnRecipeFile
  readonly test: SvhnRecipeFile
  readonly extra: SvhnRecipeFile
}

type SvhnRecipeFile = RecipeFile & { readonly md5: string }

export const SVHN_SOURCES: SvhnSources = {
  // Addresses and md5: torchvision/datasets/svhn.py. Sizes and sha256: tensorflow_datasets,
  // url_checksums/svhn_cropped.txt.
  base: 'http://ufldl.stanford.edu/housenumbers/',
  limits: { connectMs: 30_000, stallMs: 60_000, attempts: 20 },
  train: {
    name: TRAIN.name,
    bytes: 182_040_794,
    md5: 'e26dedcc434d2e4c54c9b2d4a06d8373',
    sha256: '435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8',
  },
  test: {
    name: TEST.name,
    bytes: 64_275_384,
    md5: 'eb5a983be6a315427106f1b164d9cef3',
    sha256: 'cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b',
  },
  extra: {
    name: EXTRA.name,
    bytes: 1_329_278_602,
    md5: 'a93ce644f1a588dc4d68dda5feec44a7',
    sha256: 'a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3',
  },
}

/** How SVHN is fetched. What is there of one of the two data sets is not fetched again for the other. */
export function svhnRecipe(extra: boolean, sources: SvhnSources = SVHN_SOURCES): DatasetRecipe {
  const files = [sources.train, sources.test, ...(extra ? [sources.extra] : [])]
  const names = files.map(({ name }) => name)
  const layout = plainLayout('SVHN', SVHN_FOLDER, files)
  return {
    dataset: extra ? 'svhn-extra' : 'svhn',
    folder: extra ? SVHN_EXTRA_FOLDER : SVHN_FOLDER,
    files,
    neededBytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    addresses: names.map((name) => `${sources.base}${name}`),
    sources: [filesSource(sources.base, files, [SVHN_FOLDER, SVHN_EXTRA_FOLDER], sources.limits)],
    fromLocal: (from) => localSource(layout, from),
  }
}

export const svhn = filesEntry({
  name: 'svhn',
  description: 'SVHN: 73,257 + 26,032 house numbers of 32 x 32 pixels in 10 classes',
  imageSize: SVHN_SIZE,
  classes: 10,
  recipe: svhnRecipe(false),
  read: readSvhn,
})

export const svhnExtra = filesEntry({
  name: 'svhn-extra',
  description: 'SVHN with its 531,131 extra images behind those of train (1.3 GB more)',
  imageSize: SVHN_SIZE,
  classes: 10,
  recipe: svhnRecipe(true),
  folder: SVHN_FOLDER,
  read: (directory, options) => readSvhn(directory, { ...options, extra: true }),
})

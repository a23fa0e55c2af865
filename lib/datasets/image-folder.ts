// Photos in folders named after their class -> Dataset, as torchvision's ImageFolder lays them out:
// ROOT/train/CLASS/*.jpg and ROOT/test/CLASS/*.jpg (or ROOT/val). sharp decodes them, which the user
// installs: each is turned upright, its shorter side resized, its middle cut out, as 8-bit sRGB.
import { readdir, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { expected, LocalformerError } from '../base/errors.js'
import { readBytes } from '../base/files.js'
import { allocateImages, checkRoom } from './data-files.js'
import { type Dataset, defineDataset, type Labels, type SplitDefinition } from './dataset.js'
import type { DatasetEntry, ImageFolderOptions, OpenOptions } from './entry.js'

const require = createRequire(import.meta.url)

/** What is taken for a photo, by the end of its name. */
export const PHOTO_EXTENSIONS = ['.avif', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp']
const TEST_FOLDERS = ['test', 'val']
/** Side in pixels to which photos are brought. */
const DEFAULT_SIZE = 224
/** The classes are numbered in two bytes at most. */
const MAX_CLASSES = 65_536
/** Photos that are decoded at a time; one that is large when unpacked may take 200 MB. */
const MAX_DECODERS = 8

const LAYOUT_HINT =
  'The layout is ROOT/train/CLASS/photo.jpg and ROOT/test/CLASS/photo.jpg (or ROOT/val/...), ROOT ' +
  'given with `--data-dir`.'

/** @internal Its types are there only where it is installed. */
type Sharp = typeof import('sharp')['default']

/**
 * Reads a folder of photos. Classes are the folders below `train`, in the order of their names; what
 * lies beside the photos and is none, by its name, is left out.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for a wrong size; `ERR_DATASET` when a folder is missing, a
 *   class has no photos, one cannot be decoded, or sharp is not installed.
 */
export async function readImageFolder(
  root: string,
  options: ImageFolderOptions & Pick<OpenOptions, 'signal' | 'onProgress'> = {},
): Promise<Dataset> {
  const { imageSize = DEFAULT_SIZE, signal, onProgress } = options
  if (!Number.isSafeInteger(imageSize) || imageSize < 1 || imageSize > 4_096) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('a whole number from 1 to 4096', 'imageSize', imageSize),
    )
  }
  const classes = await classFolders(path.join(root, 'train'))
  if (classes.length > MAX_CLASSES) {
    throw new LocalformerError('ERR_DATASET', `${root} has ${classes.length} classes`)
  }
  const train = await listPhotos(path.join(root, 'train'), classes)
  const test = await listPhotos(await testFolder(root), classes)
  const sharp = loadSharp()
  const total = train.files.length + test.files.length
  checkRoom('image-folder', total * bytesOfImage(imageSize))
  let done = 0
  const tell = () =>
    onProgress?.({ type: 'progress', phase: 'decode', unit: 'files', done: done++, total })
  tell()
  const decode = (split: Photos) => decodePhotos(sharp, split, imageSize, signal, tell)
  return defineDataset({
    name: 'image-folder',
    classes,
    train: await decode(train),
    test: await decode(test),
  })
}

const bytesOfImage = (imageSize: number) => 3 * imageSize * imageSize

interface Photos {
  readonly files: readonly string[]
  readonly labels: Labels
}

async function testFolder(root: string): Promise<string> {
  for (const name of TEST_FOLDERS) {
    const folder = path.join(root, name)
    if (
      await stat(folder).then(
        (entry) => entry.isDirectory(),
        () => false,
      )
    )
      return folder
  }
  throw folderError(`${root} has neither a folder test nor a folder val`)
}

/** Names of the folders in `split`, sorted by their characters' numbers: the same on every machine. */
async function classFolders(split: string): Promise<readonly string[]> {
  const names = await readdir(split).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') throw folderError(`There is no folder ${split}`, cause)
    throw folderError(`Cannot read ${split}: ${cause.message}`, cause)
  })
  const folders: string[] = []
  for (const name of names.filter((candidate) => !candidate.startsWith('.'))) {
    // Asked of the file itself, so that a link to a folder is one.
    if ((await stat(path.join(split, name))).isDirectory()) folders.push(name)
  }
  if (folders.length === 0) throw folderError(`${split} has no class folders`)
  return folders.sort(byCharacters)
}

/**
 * The photos of a split: the first one of each class, the second ones and so on, each class in the
 * order of the names. So the first so many of them, which a limit takes, are of every class.
 */
async function listPhotos(split: string, classes: readonly string[]): Promise<Photos> {
  const folders = await classFolders(split)
  const unknown = folders.filter((name) => !classes.includes(name))
  if (unknown.length > 0) {
    throw folderError(`${split} has classes that train has not: ${unknown.join(', ')}`)
  }
  const files: string[] = []
  const labels: number[] = []
  const photos: (readonly string[])[] = []
  for (const name of folders) photos.push(await photosBelow(path.join(split, name)))
  const most = photos.reduce((most, { length }) => Math.max(most, length), 0)
  for (let place = 0; place < most; place++) {
    for (const [k, name] of folders.entries()) {
      const file = photos[k]?.[place]
      if (file === undefined) continue
      files.push(file)
      labels.push(classes.indexOf(name))
    }
  }
  const numbers = classes.length > 256 ? Uint16Array.from(labels) : Uint8Array.from(labels)
  return { files, labels: numbers }
}

async function photosBelow(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder, { recursive: true })
  const isHidden = (name: string) => name.split(path.sep).some((part) => part.startsWith('.'))
  const isPhoto = (name: string) => PHOTO_EXTENSIONS.includes(path.extname(name).toLowerCase())
  const photos = names.filter((name) => isPhoto(name) && !isHidden(name)).sort(byCharacters)
  if (photos.length > 0) return photos.map((name) => path.join(folder, name))
  const others = [...new Set(names.map((name) => path.extname(name)).filter(Boolean))].slice(0, 5)
  const found = others.length > 0 ? `, only ${others.join(', ')}` : ''
  throw folderError(
    `The class folder ${folder} has no photos${found} (expected ${PHOTO_EXTENSIONS.join(', ')})`,
  )
}

function byCharacters(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function folderError(message: string, cause?: unknown): LocalformerError {
  return new LocalformerError('ERR_DATASET', message, {
    hint: LAYOUT_HINT,
    ...(cause === undefined ? {} : { cause }),
  })
}

/** @internal Required and not imported: its entry for `import` is not read by Node.js 20.9. */
export function loadSharp(): Sharp {
  try {
    return require('sharp') as Sharp
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND'
    const [reason] = (cause as Error).message.split('\n')
    throw new LocalformerError(
      'ERR_DATASET',
      isMissing
        ? 'Photos are decoded by the package sharp, which is not installed'
        : `The package sharp, which decodes photos, cannot be loaded: ${reason}`,
      { hint: 'Run `npm install sharp`.', cause },
    )
  }
}

async function decodePhotos(
  sharp: Sharp,
  { files, labels }: Photos,
  imageSize: number,
  signal: AbortSignal | undefined,
  tell: () => void,
): Promise<SplitDefinition> {
  const imageBytes = bytesOfImage(imageSize)
  const images = allocateImages('image-folder', files.length * imageBytes)
  let next = 0
  const work = async () => {
    for (let image = next++; image < files.length; image = next++) {
      signal?.throwIfAborted()
      const pixels = await decodePhoto(sharp, files[image] as string, imageSize)
      toPlanes(pixels, images.subarray(image * imageBytes, (image + 1) * imageBytes))
      tell()
    }
  }
  const workers = Array.from({ length: Math.min(MAX_DECODERS, availableParallelism()) }, work)
  try {
    await Promise.all(workers)
  } catch (error) {
    // The others end with the photo they are at, before anybody is told.
    next = files.length
    await Promise.allSettled(workers)
    throw error
  }
  return { images, labels, height: imageSize, width: imageSize }
}

/**
 * @internal `imageSize x imageSize x 3` values of a file, or of its bytes where they were read, as a
 * screen shows them; transparent parts are black.
 */
export async function decodePhoto(
  sharp: Sharp,
  file: string,
  imageSize: number,
  bytes?: Buffer,
): Promise<Uint8Array> {
  try {
    // Not by its name, under which there may be a pipe, at which sharp waits.
    const { data, info } = await sharp(bytes ?? (await readBytes(file)), { failOn: 'truncated' })
      // Without an angle: as the camera's EXIF says.
      .rotate()
      .resize(imageSize, imageSize, { fit: 'cover', position: 'centre' })
      .flatten({ background: '#000' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    if (info.channels !== 3) throw new Error(`it has ${info.channels} channels`)
    return data
  } catch (cause) {
    const [reason] = (cause as Error).message.split('\n')
    throw new LocalformerError('ERR_DATASET', `Cannot decode ${file}: ${reason}`, {
      hint: 'Replace or remove the file.',
      cause,
      details: { file },
    })
  }
}

/** Red, green and blue of each pixel -> three planes. */
export function toPlanes(pixels: Uint8Array, planes: Uint8Array): void {
  const plane = planes.length / 3
  for (let pixel = 0; pixel < plane; pixel++) {
    planes[pixel] = pixels[3 * pixel] as number
    planes[plane + pixel] = pixels[3 * pixel + 1] as number
    planes[2 * plane + pixel] = pixels[3 * pixel + 2] as number
  }
}

export const imageFolder: DatasetEntry = {
  name: 'image-folder',
  description: 'Photos of your own in folders named after their class (--data-dir); needs sharp',
  imageSize: DEFAULT_SIZE,
  classes: null,
  recipe: null,
  needsDataDir: true,
  async open({ dataDir, signal, onProgress, imageFolder: options }) {
    if (dataDir === undefined) {
      throw new LocalformerError(
        'ERR_CONFIG',
        expected('the folder of the photos', 'dataDir', dataDir),
        { hint: LAYOUT_HINT },
      )
    }
    return readImageFolder(path.resolve(dataDir), { ...options, signal, onProgress })
  },
}

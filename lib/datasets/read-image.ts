// An image file -> planar RGB bytes. PNG is decoded by pngjs, everything else by sharp, which the
// user installs; both within bounds of size, so that a hostile file costs an error and no memory.
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { expected, LocalformerError } from '../base/errors.js'
import { openFile } from '../base/files.js'
import { checkFile, checkKeys, readArgument } from '../base/validate.js'
import { decodePhoto, loadSharp, PHOTO_EXTENSIONS, toPlanes } from './image-folder.js'
import { checkPng, PNG_SIGNATURE, PngError, readPngHeader } from './png.js'

/** Pixels of one image. */
export interface Image {
  /** Pixels. */
  readonly height: number
  /** Pixels. */
  readonly width: number
  /** `3 x height x width` values 0 to 255: planar RGB, each plane row by row. */
  readonly images: Uint8Array
}

export interface ReadImageOptions {
  /**
   * Side in pixels: sharp decodes the file, whatever its format, turns it upright, resizes its
   * shorter side and cuts out its middle, exactly as the `image-folder` data set does. Default: the
   * pixels as they are.
   */
  readonly size?: number
}

/** A photo of today's cameras fits; decoded it takes 200 MB at four bytes a pixel. */
const MAX_PIXELS = 50_000_000
const MAX_FILE_BYTES = 256 * 2 ** 20

/**
 * Reads an image file; transparent parts are black.
 *
 * @throws {LocalformerError} `ERR_DATASET` where the file is missing, no image, truncated, larger
 *   than 50 megapixels or 256 MiB, or is no PNG and sharp is not installed; `ERR_CONFIG` for a wrong
 *   `size`.
 */
export async function readImage(file: string, options: ReadImageOptions = {}): Promise<Image> {
  checkFile(file, 'file')
  checkKeys(options, 'options', ['size'])
  const size = readArgument('options', () => options.size)
  if (size !== undefined && !(Number.isInteger(size) && size >= 1 && size <= 4_096)) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('a whole number from 1 to 4096', 'size', size),
    )
  }
  const bytes = await readBounded(file)
  const isPng = bytes.subarray(0, 8).equals(PNG_SIGNATURE)
  if (isPng) {
    const image = await readPng(file, bytes, size === undefined)
    if (image !== undefined) return image
  }
  return readWithSharp(sharpFor(file, isPng), file, bytes, size)
}

async function readBounded(file: string): Promise<Buffer> {
  try {
    const handle = await openFile(file)
    try {
      const info = await handle.stat()
      if (info.size > MAX_FILE_BYTES) {
        throw new Error(`it has ${info.size} bytes, at most ${MAX_FILE_BYTES} are read`)
      }
      return await handle.readFile()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw imageError(file, cause)
  }
}

/** Its size is looked at in any case; undefined where it is not to be decoded here. */
async function readPng(file: string, bytes: Buffer, decode: boolean): Promise<Image | undefined> {
  // Loaded where it is used: little else needs it.
  const { PNG } = await import('pngjs')
  try {
    const header = readPngHeader(bytes)
    checkPixels(header.width, header.height)
    if (!decode) return undefined
    const { width, height, data } = decoded(() => PNG.sync.read(checkPng(bytes)))
    const images = new Uint8Array(3 * width * height)
    for (let pixel = 0; pixel < width * height; pixel++) {
      const alpha = (data[4 * pixel + 3] as number) / 255
      for (let channel = 0; channel < 3; channel++) {
        const value = data[4 * pixel + channel] as number
        images[channel * width * height + pixel] = Math.round(value * alpha)
      }
    }
    return { height, width, images }
  } catch (cause) {
    throw imageError(file, cause)
  }
}

/** What a decoder says of damaged data is for its own authors: it is in the error's cause. */
function decoded<T>(decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    if (cause instanceof PngError) throw cause
    throw new PngError('its data is damaged', { cause })
  }
}

function sharpFor(file: string, isPng: boolean): ReturnType<typeof loadSharp> {
  try {
    return loadSharp()
  } catch (cause) {
    const { message, hint } = cause as LocalformerError
    throw new LocalformerError(
      'ERR_DATASET',
      `Cannot read the image ${file}: ${isPng ? '' : 'it is no PNG. '}${message}`,
      { cause, ...(hint === undefined ? {} : { hint }), details: { file } },
    )
  }
}

async function readWithSharp(
  sharp: ReturnType<typeof loadSharp>,
  file: string,
  bytes: Buffer,
  size: number | undefined,
): Promise<Image> {
  try {
    const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata()
    checkPixels(width ?? 0, height ?? 0)
    if (size !== undefined) {
      return planar(await decodePhoto(sharp, file, size, bytes), size, size)
    }
    const { data, info } = await sharp(bytes, { failOn: 'truncated' })
      .rotate()
      .flatten({ background: '#000' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    if (info.channels !== 3) throw new Error(`it has ${info.channels} channels`)
    return planar(data, info.height, info.width)
  } catch (cause) {
    throw cause instanceof LocalformerError ? cause : imageError(file, cause)
  }
}

function planar(pixels: Uint8Array, height: number, width: number): Image {
  const images = new Uint8Array(3 * height * width)
  toPlanes(pixels, images)
  return { height, width, images }
}

function checkPixels(width: number, height: number): void {
  if (width < 1 || height < 1) throw new Error(`it has ${width} x ${height} pixels`)
  if (width * height <= MAX_PIXELS) return
  throw new Error(`it has ${width} x ${height} pixels, at most ${MAX_PIXELS} are decoded`)
}

function imageError(file: string, cause: unknown): LocalformerError {
  const [reason] = (cause instanceof Error ? cause.message : String(cause)).split('\n')
  return new LocalformerError('ERR_DATASET', `Cannot read the image ${file}: ${reason}`, {
    cause,
    details: { file },
  })
}

/**
 * The image files that are named, and those below the folders that are named, by the ends of their
 * names and in the order of their names.
 *
 * @throws {LocalformerError} `ERR_DATASET` where a place is missing, or a folder has no images.
 */
export async function imageFilesOf(places: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for (const place of places) {
    const info = await stat(place).catch((cause: Error) => {
      throw imageError(place, cause)
    })
    for (const file of info.isDirectory() ? await imagesBelow(place) : [place]) files.push(file)
  }
  return files
}

async function imagesBelow(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch((cause: Error) => {
    throw imageError(folder, cause)
  })
  const isHidden = (name: string) => name.split(path.sep).some((part) => part.startsWith('.'))
  const isImage = (name: string) => PHOTO_EXTENSIONS.includes(path.extname(name).toLowerCase())
  const images = names.filter((name) => isImage(name) && !isHidden(name))
  if (images.length > 0) {
    return images.sort((a, b) => (a < b ? -1 : 1)).map((name) => path.join(folder, name))
  }
  throw new LocalformerError(
    'ERR_DATASET',
    `The folder ${folder} has no images (looked for ${PHOTO_EXTENSIONS.join(', ')})`,
  )
}

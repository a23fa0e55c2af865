// The binary layout that CIFAR-10 and CIFAR-100 share -> a split. A record is one or more label bytes,
// the class last, and 3 x 32 x 32 pixel bytes, planar RGB, row by row. Krizhevsky, "Learning Multiple
// Layers of Features from Tiny Images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html
import { allocateImages, type DataFiles } from './data-files.js'
import type { SplitDefinition } from './dataset.js'

/** Pixels of an image's side. */
export const CIFAR_SIZE = 32
export const CIFAR_IMAGE_BYTES = 3 * CIFAR_SIZE * CIFAR_SIZE

export interface CifarFile {
  readonly name: string
  /** Images of the official file. */
  readonly images: number
}

/** A label byte of a record. */
export interface CifarLabel {
  /** As it reads in an error: `label`, `coarse label`. */
  readonly what: string
  readonly classes: number
}

/**
 * Reads files one after another into one split. Holds the split and one file more.
 *
 * @throws {LocalformerError} `ERR_DATASET` for a file that is no whole number of records, and a label
 *   out of range.
 */
export async function readCifarSplit(
  files: DataFiles,
  split: readonly CifarFile[],
  sizes: ReadonlyMap<string, number>,
  labels: readonly CifarLabel[],
  complete: boolean,
): Promise<SplitDefinition> {
  const recordBytes = labels.length + CIFAR_IMAGE_BYTES
  const counts = split.map(({ name, images }) =>
    files.records(name, sizes.get(name) as number, { recordBytes, most: images, complete }),
  )
  const count = counts.reduce((sum, number) => sum + number, 0)
  const images = allocateImages(files.title, count * CIFAR_IMAGE_BYTES)
  const classes = new Uint8Array(count)
  let first = 0
  for (const { name } of split) {
    const bytes = await files.read(name, sizes.get(name) as number)
    for (let start = 0; start < bytes.length; start += recordBytes, first++) {
      const pixels = start + labels.length
      labels.forEach((label, place) => {
        const value = bytes[start + place] as number
        if (value < label.classes) return
        const record = start / recordBytes
        throw files.error(
          name,
          `: record ${record} has ${label.what} ${value}, expected 0..${label.classes - 1}`,
          { record, label: value },
        )
      })
      classes[first] = bytes[pixels - 1] as number
      images.set(bytes.subarray(pixels, start + recordBytes), first * CIFAR_IMAGE_BYTES)
    }
  }
  return { images, labels: classes, height: CIFAR_SIZE, width: CIFAR_SIZE }
}

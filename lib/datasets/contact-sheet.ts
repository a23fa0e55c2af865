// Dataset -> a picture of it: a row for each class with the first images of that class, as PNG.
import type { Dataset, ImageSplit } from './dataset.js'

export interface ContactSheet {
  /** The PNG file. */
  readonly png: Uint8Array
  /** Classes shown, the first ones; one a row. */
  readonly rows: number
  /** Images of each class shown, at most. */
  readonly columns: number
}

/** Images of a class. */
const COLUMNS = 10
/** More classes would make a picture that few programs open. */
const MAX_ROWS = 100
/** Larger images are made smaller by a whole factor. */
const MAX_SIDE = 96
/** White pixels around each image. */
const GAP = 2

/** A sheet of the train split: the first ten images of each of the first hundred classes. */
export async function contactSheet({ train, classes }: Dataset): Promise<ContactSheet> {
  // Loaded where it is used: little else needs it.
  const { PNG } = await import('pngjs')
  const rows = Math.min(classes.length, MAX_ROWS)
  const factor = Math.ceil(Math.max(train.height, train.width) / MAX_SIDE)
  const cell = {
    height: Math.ceil(train.height / factor) + GAP,
    width: Math.ceil(train.width / factor) + GAP,
  }
  const sheet = new PNG({ width: COLUMNS * cell.width + GAP, height: rows * cell.height + GAP })
  sheet.data.fill(255)
  for (const [row, images] of firstImages(train, rows).entries()) {
    images.forEach((image, column) => {
      const place = { top: row * cell.height + GAP, left: column * cell.width + GAP }
      drawImage(train, image, factor, sheet, place)
    })
  }
  // Without an alpha channel.
  return { png: PNG.sync.write(sheet, { colorType: 2 }), rows, columns: COLUMNS }
}

/** Places of the first images of each class. */
function firstImages({ labels }: ImageSplit, rows: number): number[][] {
  const places = Array.from({ length: rows }, (): number[] => [])
  labels.forEach((label, image) => {
    const row = places[label]
    if (row && row.length < COLUMNS) row.push(image)
  })
  return places
}

/** Draws an image of which each pixel is the mean of `factor x factor` ones. */
function drawImage(
  { images, height, width }: ImageSplit,
  image: number,
  factor: number,
  sheet: { readonly width: number; readonly data: Uint8Array },
  place: { readonly top: number; readonly left: number },
): void {
  const plane = height * width
  for (let top = 0, row = place.top; top < height; top += factor, row++) {
    for (let left = 0, column = place.left; left < width; left += factor, column++) {
      const bottom = Math.min(top + factor, height)
      const right = Math.min(left + factor, width)
      for (const channel of [0, 1, 2]) {
        const start = (image * 3 + channel) * plane
        let sum = 0
        for (let y = top; y < bottom; y++) {
          for (let x = left; x < right; x++) sum += images[start + y * width + x] as number
        }
        const mean = sum / ((bottom - top) * (right - left))
        sheet.data[(row * sheet.width + column) * 4 + channel] = Math.round(mean)
      }
    }
  }
}

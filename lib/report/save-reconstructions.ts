// What the decoders give back now, kept in a run folder as reconstructions.json with small PNGs.
import path from 'node:path'
import { writeFileAtomically } from '../base/files.js'
import { RECONSTRUCTIONS_FILE } from '../base/run-files.js'
import type { Dataset, ImageSplit } from '../datasets/dataset.js'
import type { Reconstruction, Trainer } from '../local/trainer.js'

/** Images that are shown. */
const COUNT = 4
/** Larger ones are made smaller by a whole factor; pixels. */
const MAX_SIDE = 96

/** Shows the first test image of each of the first classes to every module. */
export async function saveReconstructions(
  directory: string,
  trainer: Trainer,
  data: Dataset,
  epoch: number,
): Promise<void> {
  if (!trainer.modules.some(({ reconstructs }) => reconstructs)) return
  const chosen = chooseImages(data.test)
  const { height, width, mean, std } = data.test
  const shown = await trainer.reconstruct({ ...chosen, height, width, mean, std })
  // Loaded where it is used: little else needs it.
  const { PNG } = await import('pngjs')
  const encode = (image: SmallImage) => {
    const png = new PNG({ width: image.width, height: image.height })
    for (let i = 0; i < image.height * image.width; i++) {
      png.data.set(image.pixels.subarray(i * 3, i * 3 + 3), i * 4)
      png.data[i * 4 + 3] = 255
    }
    return PNG.sync.write(png, { colorType: 2 }).toString('base64')
  }
  const modules = shown.map(({ target, prediction, ...rest }) => ({
    ...rest,
    target: imagesOf(target, rest).map(encode),
    prediction: imagesOf(prediction, rest).map(encode),
  }))
  const labels = chosen.labels.map((label) => data.classes[label] ?? '')
  const document = { schema: 1, epoch, labels, modules }
  await writeFileAtomically(path.join(directory, RECONSTRUCTIONS_FILE), JSON.stringify(document))
}

function chooseImages({ images, labels, count, height, width }: ImageSplit) {
  const places: number[] = []
  const seen = new Set<number>()
  for (let i = 0; i < count && places.length < COUNT; i++) {
    const label = labels[i] as number
    if (seen.has(label)) continue
    seen.add(label)
    places.push(i)
  }
  const bytes = 3 * height * width
  const batch = new Uint8Array(places.length * bytes)
  places.forEach((place, i) => {
    batch.set(images.subarray(place * bytes, (place + 1) * bytes), i * bytes)
  })
  return { images: batch, labels: places.map((place) => labels[place] as number) }
}

interface SmallImage {
  readonly height: number
  readonly width: number
  readonly pixels: Uint8Array
}

/** The single images, each pixel the mean of as many as make it small enough. */
function imagesOf(
  all: Uint8Array,
  { count, height, width }: Pick<Reconstruction, 'count' | 'height' | 'width'>,
): SmallImage[] {
  const factor = Math.ceil(Math.max(height, width) / MAX_SIDE)
  const [rows, columns] = [Math.floor(height / factor), Math.floor(width / factor)]
  return Array.from({ length: count }, (_, image) => {
    const start = image * height * width * 3
    const pixels = new Uint8Array(rows * columns * 3)
    for (let i = 0; i < pixels.length; i++) {
      const [row, column] = [Math.floor(i / 3 / columns), Math.floor(i / 3) % columns]
      let sum = 0
      for (let y = row * factor; y < (row + 1) * factor; y++) {
        for (let x = column * factor; x < (column + 1) * factor; x++) {
          sum += all[start + (y * width + x) * 3 + (i % 3)] as number
        }
      }
      pixels[i] = Math.round(sum / factor ** 2)
    }
    return { height: rows, width: columns, pixels }
  })
}

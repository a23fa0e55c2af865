// Images made from a seed: every class is a pattern of its own under noise, so that a model can
// learn them in seconds. For tests and for trying out without a download.
import { expected, LocalformerError } from '../base/errors.js'
import { allocateImages } from './data-files.js'
import { type Dataset, defineDataset, type SplitDefinition } from './dataset.js'
import type { DatasetEntry, SyntheticOptions } from './entry.js'
import { randomUint32 } from './shuffle.js'

/** Side in pixels. */
const DEFAULT_SIZE = 32

/**
 * The `synthetic` data set. Image `i` is of class `i mod classes`; a pixel is the class's pattern (a
 * wave of its own direction, frequency and colour, amplitude 48 about 128) plus uniform noise of
 * -64 to 63, cut to 0..255.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for an option that is no whole number in its range,
 *   `ERR_DATASET` where the images do not fit into memory.
 */
export function syntheticDataset(options: SyntheticOptions = {}): Dataset {
  const { trainCount = 512, testCount = 128, classes = 10, seed = 0 } = options
  const { imageSize = DEFAULT_SIZE } = options
  for (const [name, value] of Object.entries({ trainCount, testCount, imageSize, classes })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new LocalformerError(
        'ERR_CONFIG',
        expected('a whole number of at least 1', name, value),
      )
    }
  }
  if (classes > 65_536) {
    throw new LocalformerError('ERR_CONFIG', expected('at most 65,536', 'classes', classes))
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('a whole number from 0 to 2^53 - 1', 'seed', seed),
    )
  }
  const patterns = Array.from({ length: classes }, (_, label) =>
    classPattern(label, imageSize, seed),
  )
  return defineDataset({
    name: 'synthetic',
    classes: patterns.map((_, label) => `class ${label}`),
    train: makeSplit(patterns, trainCount, imageSize, seed, 1),
    test: makeSplit(patterns, testCount, imageSize, seed, 2),
  })
}

/** `3 x imageSize x imageSize` values 80 to 176. */
function classPattern(label: number, imageSize: number, seed: number): Float32Array {
  // Streams 0, 1 and 2 are the splits' and this one's neighbours; classes start at 16.
  const random = randomUint32(seed, 16 + label)
  const fraction = () => random() / 2 ** 32
  const angle = Math.PI * fraction()
  const cycles = 1 + 3 * fraction()
  const phases = [fraction(), fraction(), fraction()]
  const pattern = new Float32Array(3 * imageSize * imageSize)
  for (let position = 0; position < pattern.length; position++) {
    const channel = Math.floor(position / (imageSize * imageSize))
    const row = Math.floor(position / imageSize) % imageSize
    const column = position % imageSize
    const along = (Math.cos(angle) * column + Math.sin(angle) * row) / imageSize
    const turn = cycles * along + (phases[channel] as number)
    pattern[position] = 128 + 48 * Math.sin(2 * Math.PI * turn)
  }
  return pattern
}

function makeSplit(
  patterns: readonly Float32Array[],
  count: number,
  imageSize: number,
  seed: number,
  stream: number,
): SplitDefinition {
  const random = randomUint32(seed, stream)
  const imageBytes = 3 * imageSize * imageSize
  // Clamped rounds and cuts to 0..255 as it stores.
  const images = new Uint8ClampedArray(allocateImages('synthetic', count * imageBytes).buffer)
  const labels = patterns.length > 256 ? new Uint16Array(count) : new Uint8Array(count)
  for (let image = 0; image < count; image++) {
    const label = image % patterns.length
    labels[image] = label
    const pattern = patterns[label] as Float32Array
    for (let position = 0; position < imageBytes; position++) {
      const noise = (random() & 127) - 64
      images[image * imageBytes + position] = (pattern[position] as number) + noise
    }
  }
  return { images: new Uint8Array(images.buffer), labels, height: imageSize, width: imageSize }
}

export const synthetic: DatasetEntry = {
  name: 'synthetic',
  description: 'Coloured waves under noise, made from a seed; for trying out without a download',
  imageSize: DEFAULT_SIZE,
  classes: 10,
  recipe: null,
  needsDataDir: false,
  open: async (options) => syntheticDataset(options.synthetic),
}

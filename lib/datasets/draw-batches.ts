// The images of a split in batches, in an order that seed and epoch decide. Split -> batches, or their
// places in it.
import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys, readArgument } from '../base/validate.js'
import { checkImages, type ImageSplit, type Labels } from './dataset.js'
import { shuffledIndices } from './shuffle.js'

/** Which images a batch holds. */
export interface BatchOptions {
  /** Images in a batch, at least 1. */
  readonly batchSize: number
  /** A whole number from 0 to 2^53 - 1; default 0. */
  readonly seed?: number
  /** Each epoch has an order of its own; a whole number from 0 to 2^53 - 1; default 0. */
  readonly epoch?: number
  /** Draw in an order given by `seed` and `epoch` alone, or as stored; default false. */
  readonly shuffle?: boolean
  /** Leave out a last batch that is not full; default false. */
  readonly dropLast?: boolean
}

/**
 * Some images of a split, as a trainer's `step` takes them; copied: the arrays belong to whoever takes
 * the batch.
 */
export interface Batch extends Pick<ImageSplit, 'height' | 'width' | 'mean' | 'std'> {
  /** `n x 3 x height x width` values 0 to 255, planar RGB. */
  readonly images: Uint8Array
  /** `n` class numbers, of the type that the split has. */
  readonly labels: Labels
  /** The `n` places in the split that the images come from. */
  readonly indices: Uint32Array
}

/** How many batches {@link batches} gives. */
export function batchCount(split: ImageSplit, options: BatchOptions): number {
  checkImages(split)
  checkBatchOptions(options)
  const whole = split.count / options.batchSize
  return options.dropLast ? Math.floor(whole) : Math.ceil(whole)
}

/**
 * One pass over a split in batches.
 *
 * ```ts
 * for (const batch of batches(data.train, { batchSize: 128, shuffle: true, epoch })) {
 *   await trainer.step(batch)
 * }
 * ```
 *
 * The shuffled order is the same on every machine and in every version of the package: a
 * Fisher-Yates shuffle driven by sfc32 (see shuffle.ts), seeded with `seed` and `epoch`. It does not
 * depend on the batch size.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for an option out of range, when called and not at the first batch.
 */
export function batches(split: ImageSplit, options: BatchOptions): IterableIterator<Batch> {
  return drawBatches(split, batchIndices(split, options))
}

/**
 * The same pass as places in the split: what a batch holds, without its images.
 *
 * @throws {LocalformerError} as {@link batches}.
 */
export function batchIndices(
  split: ImageSplit,
  options: BatchOptions,
): IterableIterator<Uint32Array> {
  checkImages(split)
  checkBatchOptions(options)
  const { batchSize, seed = 0, epoch = 0, shuffle = false } = options
  const order = shuffle
    ? shuffledIndices(split.count, seed, epoch)
    : Uint32Array.from({ length: split.count }, (_, index) => index)
  return cutOrder(order, batchSize, batchCount(split, options))
}

function checkBatchOptions(options: BatchOptions): void {
  checkKeys(options, 'options', ['batchSize', 'seed', 'epoch', 'shuffle', 'dropLast'])
  readArgument('options', () => {
    const { batchSize, seed = 0, epoch = 0, shuffle = false, dropLast = false } = options
    const refuse = (what: string, name: string, value: unknown) => {
      throw new LocalformerError('ERR_CONFIG', expected(what, name, value))
    }
    if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
      refuse('a whole number of at least 1', 'batchSize', batchSize)
    }
    for (const [name, value] of Object.entries({ seed, epoch })) {
      const isSeed = Number.isSafeInteger(value) && value >= 0
      if (!isSeed) refuse('a whole number from 0 to 2^53 - 1', name, value)
    }
    for (const [name, value] of Object.entries({ shuffle, dropLast })) {
      if (typeof value !== 'boolean') refuse('true or false', name, value)
    }
  })
}

function* cutOrder(
  order: Uint32Array,
  batchSize: number,
  total: number,
): IterableIterator<Uint32Array> {
  for (let number = 0; number < total; number++) {
    yield order.slice(number * batchSize, (number + 1) * batchSize)
  }
}

function* drawBatches(split: ImageSplit, places: Iterable<Uint32Array>): IterableIterator<Batch> {
  for (const indices of places) yield takeImages(split, indices)
}

/** Copies the images at `indices` (each below `split.count`) into a batch. */
export function takeImages(split: ImageSplit, indices: Uint32Array): Batch {
  const imageBytes = split.channels * split.height * split.width
  const images = new Uint8Array(indices.length * imageBytes)
  const labels =
    split.labels instanceof Uint8Array
      ? new Uint8Array(indices.length)
      : new Uint16Array(indices.length)
  indices.forEach((index, position) => {
    const start = index * imageBytes
    images.set(split.images.subarray(start, start + imageBytes), position * imageBytes)
    labels[position] = split.labels[index] as number
  })
  const { height, width, mean, std } = split
  return { images, labels, indices, height, width, mean, std }
}

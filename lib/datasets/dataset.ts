// What a data set is to the rest of the package: two splits of uint8 images in memory with labels.
// Nothing here knows a file format.
import { type ErrorCode, expected, LocalformerError } from '../base/errors.js'
import { entriesOf, isArrayOf, readArgument } from '../base/validate.js'

/** Red, green and blue, in this order. */
export type Rgb = readonly [number, number, number]

/** Class numbers, 0 to `classes.length - 1`; `Uint16Array` where there are more than 256 classes. */
export type Labels = Uint8Array | Uint16Array

/** Images of one size with their labels. */
export interface ImageSplit {
  /** `train`, `test`, ... */
  readonly name: string
  /** Number of images. */
  readonly count: number
  /** Pixels. */
  readonly height: number
  /** Pixels. */
  readonly width: number
  readonly channels: 3
  /** `count x 3 x height x width` values 0 to 255: planar RGB, each plane row by row. */
  readonly images: Uint8Array
  /** `count` class numbers. */
  readonly labels: Labels
  /** Mean of each channel over the train split, pixels scaled to 0..1. */
  readonly mean: Rgb
  /** Standard deviation of each channel over the train split, pixels scaled to 0..1. */
  readonly std: Rgb
}

/** A named pair of splits with what a model needs to know of them. */
export interface Dataset {
  readonly name: string
  /** Class names; a label is an index into them. */
  readonly classes: readonly string[]
  /** Mean of each channel over the train split, pixels scaled to 0..1. */
  readonly mean: Rgb
  /** Standard deviation of each channel over the train split, pixels scaled to 0..1. */
  readonly std: Rgb
  readonly train: ImageSplit
  readonly test: ImageSplit
}

/** What {@link defineDataset} makes a `Dataset` of. */
export interface DatasetDefinition {
  readonly name: string
  readonly classes: readonly string[]
  readonly train: SplitDefinition
  readonly test: SplitDefinition
  /** Default: measured over the train split. */
  readonly mean?: Rgb
  /** Default: measured over the train split. */
  readonly std?: Rgb
}

/** Images and labels of a split; `count` follows from the number of labels. */
export interface SplitDefinition {
  readonly images: Uint8Array
  /** Numbers in another kind of list are copied into one of these. */
  readonly labels: Labels
  /** Pixels. */
  readonly height: number
  /** Pixels. */
  readonly width: number
}

/**
 * Makes a `Dataset` of arrays in memory (which it keeps, without a copy) and checks it.
 *
 * ```ts
 * const mine = defineDataset({
 *   name: 'mine',
 *   classes: ['cat', 'dog'],
 *   train: { images: trainPixels, labels: trainLabels, height: 64, width: 64 },
 *   test: { images: testPixels, labels: testLabels, height: 64, width: 64 },
 * })
 * ```
 *
 * @throws {LocalformerError} `ERR_DATASET` when sizes do not agree, a split is empty, a label is out of
 *   range, or something is of another type.
 */
export function defineDataset(definition: DatasetDefinition): Dataset {
  return readArgument('definition', () => defineReadable(definition), 'ERR_DATASET')
}

function defineReadable(definition: DatasetDefinition): Dataset {
  const { name, classes, train, test } = fieldsOf(definition, 'a data set', 'definition')
  if (typeof name !== 'string' || name === '') {
    throw new LocalformerError('ERR_DATASET', expected('a name', 'name', name))
  }
  checkClasses(name, classes)
  const splits = { train: defineSplit(name, 'train', train, classes.length) }
  const both = { ...splits, test: defineSplit(name, 'test', test, classes.length) }
  if (both.train.height !== both.test.height || both.train.width !== both.test.width) {
    throw new LocalformerError(
      'ERR_DATASET',
      `Data set ${name}: images of train are ${both.train.height}x${both.train.width} pixels, those ` +
        `of test ${both.test.height}x${both.test.width}`,
    )
  }
  const given = { mean: definition.mean, std: definition.std }
  for (const key of ['mean', 'std'] as const) checkRgb(given[key], key, 'ERR_DATASET')
  const measured = given.mean && given.std ? undefined : channelStatistics(both.train)
  const mean = given.mean ?? (measured as ChannelStatistics).mean
  const std = given.std ?? (measured as ChannelStatistics).std
  return {
    ...{ name, classes, mean, std },
    train: { ...both.train, mean, std },
    test: { ...both.test, mean, std },
  }
}

/** What a script in JavaScript may get wrong. */
function fieldsOf<T>(value: T, what: string, name: string): T {
  if (typeof value === 'object' && value !== null) return value
  throw new LocalformerError('ERR_DATASET', expected(what, name, value))
}

function checkClasses(dataset: string, classes: unknown): asserts classes is readonly string[] {
  const names = entriesOf(classes)
  if (!names?.every((label) => typeof label === 'string')) {
    const message = expected('a list of names', 'classes', classes)
    throw new LocalformerError('ERR_DATASET', `Data set ${dataset}: ${message}`)
  }
  if (names.length > 0) return
  throw new LocalformerError('ERR_DATASET', `Data set ${dataset} names no classes`)
}

/** Undefined passes: it has a default. */
function checkRgb(values: unknown, name: string, code: ErrorCode): void {
  if (values === undefined) return
  const isRgb = Array.isArray(values) && values.length === 3
  // By place: a list may have holes, which `every` passes over.
  if (isRgb && [0, 1, 2].every((k) => Number.isFinite(values[k]) && values[k] >= 0)) return
  throw new LocalformerError(code, expected('three numbers of at least 0', name, values))
}

function defineSplit(
  dataset: string,
  name: string,
  definition: SplitDefinition,
  classCount: number,
): Omit<ImageSplit, 'mean' | 'std'> {
  const { images, labels, height, width } = fieldsOf(definition, 'images and labels', name)
  const refuse = (problem: string) => {
    throw new LocalformerError('ERR_DATASET', `Data set ${dataset}: ${problem}`)
  }
  if (!isArrayOf(images, Uint8Array)) {
    const received = ArrayBuffer.isView(images) ? (images as object).constructor.name : images
    refuse(expected('a Uint8Array of pixels 0 to 255', `${name}.images`, received))
  }
  for (const [side, value] of Object.entries({ height, width })) {
    if (Number.isSafeInteger(value) && value >= 1) continue
    refuse(expected('a whole number of pixels of at least 1', `${name}.${side}`, value))
  }
  const count = lengthOf(labels)
  if (count === undefined) refuse(expected('a list of class numbers', `${name}.labels`, labels))
  if (!count) {
    throw new LocalformerError('ERR_DATASET', `Data set ${dataset}: split ${name} has no images`)
  }
  const bytes = count * 3 * height * width
  if (images.length !== bytes) {
    refuse(
      `split ${name} has ${count} labels, so its images should be ${count} x 3 x ${height} x ` +
        `${width} = ${bytes} bytes, but they are ${images.length}`,
    )
  }
  const wrong = Array.prototype.findIndex.call(
    labels,
    (label) => !(Number.isInteger(label) && label >= 0 && label < classCount),
  )
  if (wrong >= 0) {
    refuse(
      `label ${String(labels[wrong])} of record ${wrong} in split ${name} is not in 0..${classCount - 1}`,
    )
  }
  const kept =
    isArrayOf(labels, Uint8Array) || isArrayOf(labels, Uint16Array)
      ? labels
      : narrow(labels, classCount)
  return { name, count, height, width, channels: 3, images, labels: kept }
}

function lengthOf(labels: unknown): number | undefined {
  const isList = Array.isArray(labels) || (ArrayBuffer.isView(labels) && 'length' in labels)
  return isList ? (labels as ArrayLike<number>).length : undefined
}

/** Class numbers that are checked, in the narrower of the two types that hold them. */
function narrow(labels: ArrayLike<number>, classCount: number): Labels {
  return classCount > 256 ? Uint16Array.from(labels) : Uint8Array.from(labels)
}

/**
 * Is it a split with its images, rather than a whole data set or something else? Looks at sizes, not
 * at every label.
 *
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function checkImages(split: unknown): asserts split is ImageSplit {
  readArgument('split', () => {
    const { images, labels, count, height, width, channels, mean, std } = (
      typeof split === 'object' && split !== null ? split : {}
    ) as Partial<ImageSplit>
    const sides = [count, height, width]
    const isSplit =
      isArrayOf(images, Uint8Array) &&
      channels === 3 &&
      sides.every((side) => Number.isSafeInteger(side) && (side as number) >= 1) &&
      images.length === (count as number) * 3 * (height as number) * (width as number) &&
      lengthOf(labels) === count
    if (!isSplit) {
      const received = split === undefined ? split : typeof split
      throw new LocalformerError('ERR_CONFIG', expected('a split with images', 'split', received), {
        hint: 'A data set has two: data.train and data.test.',
      })
    }
    checkRgb(mean, 'mean', 'ERR_CONFIG')
    checkRgb(std, 'std', 'ERR_CONFIG')
  })
}

/** @throws {LocalformerError} `ERR_CONFIG` for what is no data set, as {@link defineDataset} makes one. */
export function checkDataset(data: unknown, name = 'data'): asserts data is Dataset {
  readArgument(name, () => {
    const {
      name: own,
      classes,
      train,
      test,
    } = (typeof data === 'object' && data !== null ? data : {}) as Partial<Dataset>
    const isNamed = typeof own === 'string' && Array.isArray(classes) && classes.length > 0
    if (!isNamed) {
      throw new LocalformerError('ERR_CONFIG', expected('a data set', name, data), {
        hint: '`openDataset` and `defineDataset` give one.',
      })
    }
    checkImages(train)
    checkImages(test)
  })
}

export interface ChannelStatistics {
  readonly mean: Rgb
  readonly std: Rgb
}

/** Mean and (population) standard deviation of each channel, pixels scaled to 0..1. */
export function channelStatistics(split: Omit<ImageSplit, 'mean' | 'std'>): ChannelStatistics {
  const plane = split.height * split.width
  // Counting values and summing the 256 bins afterwards is exact and one addition per pixel.
  const histograms = [0, 1, 2].map(() => new Float64Array(256))
  for (let image = 0; image < split.count; image++) {
    for (const [channel, histogram] of histograms.entries()) {
      const start = (image * 3 + channel) * plane
      for (let pixel = start; pixel < start + plane; pixel++) {
        const value = split.images[pixel] as number
        histogram[value] = (histogram[value] as number) + 1
      }
    }
  }
  const moments = histograms.map((histogram) => momentsOf(histogram, split.count * plane))
  return {
    mean: moments.map(({ mean }) => mean) as unknown as Rgb,
    std: moments.map(({ std }) => std) as unknown as Rgb,
  }
}

function momentsOf(histogram: Float64Array, total: number): { mean: number; std: number } {
  let sum = 0
  let squares = 0
  histogram.forEach((times, value) => {
    sum += times * value
    squares += times * value * value
  })
  const mean = sum / total
  return { mean: mean / 255, std: Math.sqrt(squares / total - mean * mean) / 255 }
}

/** Number of images of each class. */
export function classHistogram(split: ImageSplit, classCount: number): number[] {
  const counts = new Array<number>(classCount).fill(0)
  for (const label of split.labels) counts[label] = (counts[label] as number) + 1
  return counts
}

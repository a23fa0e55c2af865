// A batch on its way into the network: images and labels checked, normalisation and augmentation
// settled, as plain values that the native thread copies.

import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys, isArrayOf, readArgument } from '../base/validate.js'
import type { ImageSplit } from '../datasets/dataset.js'
import type { NativeBatch } from '../native/contract.js'
import {
  type Augmentation,
  augmentationOf,
  augments,
  mixes,
  type ResolvedAugmentation,
} from './augmentation.js'

/** Images with their labels, as a step or an evaluation takes them. */
export interface ImageBatch {
  /**
   * `count x 3 x height x width`, planar RGB. Bytes 0 to 255 are scaled to 0..1, normalised with
   * `mean` and `std` and resized to the network's input; floats are taken as they are and must
   * have the input's size.
   */
  readonly images: Uint8Array | Float32Array
  /** `count` class numbers. */
  readonly labels?: ArrayLike<number>
  /**
   * Of images that a script has mixed itself: what each is besides `labels`. The label loss is
   * `labelShares` x CE(`labels`) + (1 - `labelShares`) x CE(`otherLabels`); answers are right where
   * they say `labels`.
   */
  readonly otherLabels?: ArrayLike<number>
  /** Share of `labels`, 0 to 1 each; with `otherLabels`. */
  readonly labelShares?: ArrayLike<number>
  /** Pixels. Default: the network's input size. */
  readonly height?: number
  /** Pixels. Default: the network's input size. */
  readonly width?: number
  /** Of each channel, pixels in 0..1. Default: 0. */
  readonly mean?: readonly number[]
  /** Of each channel, pixels in 0..1. Default: 1. */
  readonly std?: readonly number[]
  /** Augmentation of byte images while training; default: none. */
  readonly augment?: Augmentation
}

/** Images of a split by their places in it, taken from its store without a detour. */
export interface SplitBatch {
  readonly split: ImageSplit
  /** Places in the split, below `split.count`. */
  readonly indices: ArrayLike<number>
  /** Augmentation while training; default: none. */
  readonly augment?: Augmentation
  /**
   * @internal What these images are of a larger batch, which several processes take together: those from
   * `first` on among `size`. Where images are mixed their partners stand behind them.
   */
  readonly share?: { readonly first: number; readonly size: number } | undefined
}

const BATCH_KEYS = [
  ...['images', 'labels', 'otherLabels', 'labelShares', 'height', 'width', 'mean', 'std'],
  ...['augment', 'indices'],
]

/** What a network expects of its input. */
export interface InputShape {
  readonly imageSize: number
  readonly classes: number
}

/** As the addon takes it. */
export interface PlainBatch extends NativeBatch {
  readonly augment: ResolvedAugmentation
}

/**
 * @throws {LocalformerError} `ERR_SHAPE` for sizes that do not fit, `ERR_DATASET` for a label that
 *   is no class.
 */
export function toNativeBatch(batch: ImageBatch, input: InputShape): PlainBatch {
  return readArgument('batch', () => readBatch(batch, input), 'ERR_SHAPE')
}

function readBatch(batch: ImageBatch, input: InputShape): PlainBatch {
  if (typeof batch !== 'object' || batch === null) throw shapeError('images', 'batch', batch)
  checkKeys(batch, 'batch', BATCH_KEYS)
  const { images, height = input.imageSize, width = input.imageSize } = batch
  if (!isArrayOf(images, Uint8Array) && !isArrayOf(images, Float32Array)) {
    throw shapeError('a Uint8Array or a Float32Array', 'images', images)
  }
  checkSides({ height, width })
  const count = images.length / (3 * height * width)
  if (!Number.isInteger(count) || count === 0) {
    throw shapeError(
      `a positive multiple of 3 x ${height} x ${width} = ${3 * height * width} values`,
      'images',
      images.length,
    )
  }
  const isFloat = images instanceof Float32Array
  if (isFloat && (height !== input.imageSize || width !== input.imageSize)) {
    throw shapeError(
      `float images of ${input.imageSize} x ${input.imageSize} pixels`,
      'images',
      `${height} x ${width}`,
    )
  }
  const augment = augmentationOf(batch.augment, Math.min(height, width))
  if (isFloat && augments(augment)) {
    throw new LocalformerError('ERR_CONFIG', 'Float images are not augmented', {
      hint: 'Pass bytes with mean and std, or leave out augment.',
    })
  }
  return {
    count,
    height,
    width,
    imageSize: input.imageSize,
    images,
    ...(batch.labels === undefined ? {} : { labels: toLabels(batch.labels, count, input.classes) }),
    ...mixedLabels(batch, count, input.classes, mixes(augment)),
    mean: channels(batch.mean, 'mean', 0),
    std: channels(batch.std, 'std', 1),
    augment,
  }
}

/**
 * The same of images in a split's store.
 *
 * @throws {LocalformerError} `ERR_SHAPE` for a place that the split has not, and what
 *   {@link toNativeBatch} throws.
 */
export function splitToNativeBatch(batch: SplitBatch, input: InputShape): PlainBatch {
  return readArgument('batch', () => readSplitBatch(batch, input), 'ERR_SHAPE')
}

function readSplitBatch(batch: SplitBatch, input: InputShape): PlainBatch {
  checkKeys(batch, 'batch', ['split', 'indices', 'augment', 'share'])
  const { split, indices, share } = batch
  if (typeof split !== 'object' || split === null || !isArrayOf(split.images, Uint8Array)) {
    throw shapeError('a split of a data set', 'split', split)
  }
  const { height, width, images, labels } = split
  checkSides({ height, width })
  if (images.length !== split.count * 3 * height * width || labels?.length !== split.count) {
    const what = `${split.count} x 3 x ${height} x ${width} bytes and ${split.count} labels`
    throw shapeError(what, 'split', `${images.length} and ${labels?.length}`)
  }
  const count = (indices as ArrayLike<number> | null | undefined)?.length ?? 0
  if (count === 0) throw shapeError('at least one place in the split', 'indices', indices)
  // Grown as they are found: a list without entries may have any length.
  const places: number[] = []
  const classes: number[] = []
  for (let i = 0; i < count; i++) {
    const place = indices[i]
    if (place === undefined || !Number.isInteger(place) || place < 0 || place >= split.count) {
      throw shapeError(`a place from 0 to ${split.count - 1}`, `indices[${i}]`, place)
    }
    places.push(place)
    classes.push(labels[place] as number)
  }
  return {
    ...{
      count,
      height,
      width,
      imageSize: input.imageSize,
      images,
      indices: Uint32Array.from(places),
    },
    labels: toLabels(classes, count, input.classes),
    mean: channels(split.mean, 'mean', 0),
    std: channels(split.std, 'std', 1),
    augment: augmentationOf(batch.augment, Math.min(height, width)),
    ...(share === undefined ? {} : { share }),
  }
}

/**
 * The batch itself, which must not mix its images: only a training step knows mixed labels.
 *
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function unmixed(batch: PlainBatch): PlainBatch {
  if (batch.otherLabels === undefined && !mixes(batch.augment)) return batch
  throw new LocalformerError('ERR_CONFIG', 'Images and labels are mixed in a training step alone', {
    hint: 'Leave out otherLabels, and mixup and cutmix of augment.',
  })
}

// Mixed labels come together, and are not mixed again.
function mixedLabels(batch: ImageBatch, count: number, classes: number, mixesAgain: boolean) {
  const { labels, otherLabels, labelShares } = batch
  if (otherLabels === undefined && labelShares === undefined) return {}
  if (labels === undefined) throw shapeError('class numbers', 'labels', labels)
  if (otherLabels === undefined) throw shapeError('class numbers', 'otherLabels', otherLabels)
  if (labelShares === undefined || labelShares === null || labelShares.length !== count) {
    throw shapeError(`one share an image, ${count},`, 'labelShares', labelShares)
  }
  if (mixesAgain) {
    throw new LocalformerError('ERR_CONFIG', 'Labels that are mixed already are not mixed again', {
      hint: 'Leave out mixup and cutmix of augment, or otherLabels and labelShares.',
    })
  }
  const shares = Float32Array.from(labelShares)
  const wrong = shares.findIndex((share) => !(share >= 0 && share <= 1))
  if (wrong >= 0) {
    throw shapeError('a number from 0 to 1', `labelShares[${wrong}]`, labelShares[wrong])
  }
  return {
    otherLabels: toLabels(otherLabels, count, classes, 'otherLabels'),
    labelShares: shares,
  }
}

/** The batch itself, which must have labels. */
export function labelled(batch: ImageBatch): ImageBatch {
  if (typeof batch !== 'object' || batch === null) return batch
  if (readArgument('batch', () => batch.labels) !== undefined) return batch
  throw shapeError('class numbers', 'labels', undefined)
}

/** Labels as int32, each checked to be a class. */
export function toLabels(
  labels: ArrayLike<number>,
  count: number,
  classes: number,
  name = 'labels',
): Int32Array {
  return readArgument(name, () => readLabels(labels, count, classes, name), 'ERR_SHAPE')
}

function readLabels(
  labels: ArrayLike<number>,
  count: number,
  classes: number,
  name: string,
): Int32Array {
  if (typeof labels !== 'object' || labels === null) {
    throw shapeError('a list of class numbers', name, labels)
  }
  if (labels.length !== count) {
    throw shapeError(`one label an image, ${count},`, name, labels.length)
  }
  const out = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const label = labels[i]
    if (label === undefined || !Number.isInteger(label) || label < 0 || label >= classes) {
      throw new LocalformerError(
        'ERR_DATASET',
        expected(`a class from 0 to ${classes - 1}`, `${name}[${i}]`, label),
        { hint: `The model was made for ${classes} classes.` },
      )
    }
    out[i] = label
  }
  return out
}

function channels(values: readonly number[] | undefined, name: string, fallback: number) {
  if (values === undefined) return [fallback, fallback, fallback]
  // By place: a list may have holes, which `every` passes over.
  const ok =
    Array.isArray(values) &&
    values.length === 3 &&
    [0, 1, 2].every((k) => Number.isFinite(values[k]))
  if (!ok || (name === 'std' && values.some((v) => v <= 0))) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected(`three ${name === 'std' ? 'positive ' : ''}numbers`, name, values),
    )
  }
  return values
}

function checkSides(sides: { readonly height: number; readonly width: number }): void {
  for (const [name, side] of Object.entries(sides)) {
    if (Number.isInteger(side) && side >= 1) continue
    throw shapeError('a whole number of at least 1', name, side)
  }
}

function shapeError(what: string, name: string, received: unknown): LocalformerError {
  return new LocalformerError('ERR_SHAPE', expected(what, name, received))
}

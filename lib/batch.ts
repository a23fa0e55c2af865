// A batch on its way into the network: images and labels checked, normalisation and augmentation
// settled, as plain values that the native thread copies.
import { expected, LocalformerError } from './errors.js'
import type { NativeBatch } from './native/contract.js'
import { checkKeys } from './validate.js'

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

export interface Augmentation {
  /** Random crop of the image's own size after reflecting this many pixels at each edge; default 0. */
  readonly cropPadding?: number
  /** Mirror half of the images; default false. */
  readonly flip?: boolean
  /** Same seed, same crops and flips; default 0. */
  readonly seed?: number
}

const BATCH_KEYS = ['images', 'labels', 'height', 'width', 'mean', 'std', 'augment', 'indices']

/** What a network expects of its input. */
export interface InputShape {
  readonly imageSize: number
  readonly classes: number
}

/**
 * @throws {LocalformerError} `ERR_SHAPE` for sizes that do not fit, `ERR_DATASET` for a label that
 *   is no class.
 */
export function toNativeBatch(batch: ImageBatch, input: InputShape): NativeBatch {
  if (typeof batch !== 'object' || batch === null) throw shapeError('images', 'batch', batch)
  checkKeys(batch, 'batch', BATCH_KEYS)
  const { images, height = input.imageSize, width = input.imageSize } = batch
  if (!(images instanceof Uint8Array) && !(images instanceof Float32Array)) {
    throw shapeError('a Uint8Array or a Float32Array', 'images', images)
  }
  for (const [name, side] of Object.entries({ height, width })) {
    if (!Number.isInteger(side) || side < 1) {
      throw shapeError('a whole number of at least 1', name, side)
    }
  }
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
  return {
    count,
    height,
    width,
    imageSize: input.imageSize,
    images,
    ...(batch.labels === undefined ? {} : { labels: toLabels(batch.labels, count, input.classes) }),
    mean: channels(batch.mean, 'mean', 0),
    std: channels(batch.std, 'std', 1),
    ...augmentation(batch.augment, Math.min(height, width)),
  }
}

/** The batch itself, which must have labels. */
export function labelled(batch: ImageBatch): ImageBatch {
  if (typeof batch !== 'object' || batch === null || batch.labels !== undefined) return batch
  throw shapeError('class numbers', 'labels', batch.labels)
}

/** Labels as int32, each checked to be a class. */
export function toLabels(labels: ArrayLike<number>, count: number, classes: number): Int32Array {
  if (typeof labels !== 'object' || labels === null) {
    throw shapeError('a list of class numbers', 'labels', labels)
  }
  if (labels.length !== count) {
    throw shapeError(`one label an image, ${count},`, 'labels', labels.length)
  }
  const out = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const label = labels[i]
    if (label === undefined || !Number.isInteger(label) || label < 0 || label >= classes) {
      throw new LocalformerError(
        'ERR_DATASET',
        expected(`a class from 0 to ${classes - 1}`, `labels[${i}]`, label),
        { hint: `The model was made for ${classes} classes.` },
      )
    }
    out[i] = label
  }
  return out
}

function channels(values: readonly number[] | undefined, name: string, fallback: number) {
  if (values === undefined) return [fallback, fallback, fallback]
  const ok = Array.isArray(values) && values.length === 3 && values.every((v) => Number.isFinite(v))
  if (!ok || (name === 'std' && values.some((v) => v <= 0))) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected(`three ${name === 'std' ? 'positive ' : ''}numbers`, name, values),
    )
  }
  return values
}

function augmentation(augment: Augmentation = {}, side: number) {
  checkKeys(augment, 'augment', ['cropPadding', 'flip', 'seed'])
  const { cropPadding = 0, flip = false, seed = 0 } = augment
  const check = (ok: boolean, what: string, name: keyof Augmentation) => {
    if (ok) return
    throw new LocalformerError('ERR_CONFIG', expected(what, `augment.${name}`, augment[name]))
  }
  check(
    Number.isInteger(cropPadding) && cropPadding >= 0 && cropPadding < side,
    `a whole number from 0 to ${side - 1}`,
    'cropPadding',
  )
  check(typeof flip === 'boolean', 'true or false', 'flip')
  check(Number.isSafeInteger(seed) && seed >= 0, 'a whole number of at least 0', 'seed')
  return { cropPadding, flip, augmentSeed: seed }
}

function shapeError(what: string, name: string, received: unknown): LocalformerError {
  return new LocalformerError('ERR_SHAPE', expected(what, name, received))
}

// What may be done to the images of a training batch: options checked, defaults filled in. The work
// itself is native/core/data.
import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys } from '../base/validate.js'
import type { NativeBatch } from '../native/contract.js'

export const CROP_MODES = ['reflect', 'zero'] as const

/** Most operations of RandAugment on one image. */
export const MOST_OPS = 16

/**
 * Augmentation of byte images, in the order in which it is done: crop, flip, RandAugment, erasing,
 * mixing. Each image draws for itself from `seed` and its place in the batch; threads play no part.
 */
export interface Augmentation {
  /** Random crop of the image's own size after padding each edge by so many pixels; default 0. */
  readonly cropPadding?: number
  /** What the edge is padded with: its mirror image, or black (as timm and torchvision do); default `reflect`. */
  readonly cropMode?: (typeof CROP_MODES)[number]
  /** Mirror half of the images; default false. */
  readonly flip?: boolean
  /**
   * Operations of RandAugment (arXiv 1909.13719) on each image, 0 to 16; default 0. Drawn from
   * torchvision's: identity, shear, translation (each in x or y), rotation, brightness, color,
   * contrast, sharpness, posterize, solarize, autocontrast, equalize.
   */
  readonly randAugmentOps?: number
  /** Of RandAugment, 0 to 10; 10 is the end of torchvision's range. Default 9. */
  readonly randAugmentMagnitude?: number
  /**
   * Share of the images of which a rectangle is erased to the mean (arXiv 1708.04896): 2 to 33 % of
   * the area, sides in a ratio of 0.3 to 3.3. Default 0.
   */
  readonly erasing?: number
  /** Alpha of mixup (arXiv 1710.09412): an image's share is drawn from Beta(alpha, alpha). 0, the default: off. */
  readonly mixup?: number
  /** Alpha of cutmix (arXiv 1905.04899). 0, the default: off; with mixup an image takes either. */
  readonly cutmix?: number
  /** Share of the images that are mixed where mixup or cutmix is on; default 1. */
  readonly mixProbability?: number
  /** Same seed, same batch; default 0. */
  readonly seed?: number
}

type NativeAugmentation = Pick<NativeBatch, Exclude<keyof Augmentation, 'seed'> | 'augmentSeed'>

/**
 * @param side the shorter side of the images in pixels
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function augmentationOf(augment: Augmentation = {}, side: number): NativeAugmentation {
  checkKeys(augment, 'augment', [
    ...['cropPadding', 'cropMode', 'flip', 'randAugmentOps', 'randAugmentMagnitude', 'erasing'],
    ...['mixup', 'cutmix', 'mixProbability', 'seed'],
  ])
  const { cropPadding = 0, cropMode = 'reflect', flip = false, seed = 0 } = augment
  const { randAugmentOps = 0, randAugmentMagnitude = 9, erasing = 0 } = augment
  const { mixup = 0, cutmix = 0, mixProbability = 1 } = augment
  const check = (ok: boolean, what: string, name: keyof Augmentation) => {
    if (ok) return
    throw new LocalformerError('ERR_CONFIG', expected(what, `augment.${name}`, augment[name]))
  }
  const whole = (value: number, max: number) =>
    Number.isSafeInteger(value) && value >= 0 && value <= max
  const within = (value: number, max: number) =>
    typeof value === 'number' && value >= 0 && value <= max && Number.isFinite(value)
  check(whole(cropPadding, side - 1), `a whole number from 0 to ${side - 1}`, 'cropPadding')
  check(CROP_MODES.includes(cropMode), `one of ${CROP_MODES.join(', ')}`, 'cropMode')
  check(typeof flip === 'boolean', 'true or false', 'flip')
  check(whole(randAugmentOps, MOST_OPS), `a whole number from 0 to ${MOST_OPS}`, 'randAugmentOps')
  check(within(randAugmentMagnitude, 10), 'a number from 0 to 10', 'randAugmentMagnitude')
  check(within(erasing, 1), 'a number from 0 to 1', 'erasing')
  check(within(mixup, Infinity), 'a number of at least 0', 'mixup')
  check(within(cutmix, Infinity), 'a number of at least 0', 'cutmix')
  check(within(mixProbability, 1), 'a number from 0 to 1', 'mixProbability')
  check(whole(seed, Number.MAX_SAFE_INTEGER), 'a whole number of at least 0', 'seed')
  return {
    ...{ cropPadding, cropMode, flip, randAugmentOps, randAugmentMagnitude, erasing },
    ...{ mixup, cutmix, mixProbability },
    augmentSeed: seed,
  }
}

/** Does it mix images, and so labels? */
export function mixes({ mixup, cutmix, mixProbability }: NativeAugmentation): boolean {
  return (mixup > 0 || cutmix > 0) && mixProbability > 0
}

/** Does it do anything? */
export function augments(augmentation: NativeAugmentation): boolean {
  const { cropPadding, flip, randAugmentOps, erasing } = augmentation
  return cropPadding > 0 || flip || randAugmentOps > 0 || erasing > 0 || mixes(augmentation)
}

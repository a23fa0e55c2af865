// What may be done to the images of a training batch: the one place that says its options, their
// ranges and defaults. The work itself is native/core/data.
import type { z } from 'zod'
import { expected, LocalformerError } from '../base/errors.js'
import { boolean, integer, lazy, number, oneOf, parseOptions, zod } from '../base/validate.js'

export const CROP_MODES = ['reflect', 'zero'] as const

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

/** @internal Each option by its name: range, default, words of help. */
export const augmentationShape = lazy(() => ({
  cropPadding: integer(0).default(0).describe('Pixels around a random crop; 0: no crop'),
  cropMode: oneOf(CROP_MODES).default('reflect').describe('Padding of the crop'),
  flip: boolean().default(false).describe('Mirror half of the images'),
  randAugmentOps: integer(0, 16).default(0).describe('Operations of RandAugment'),
  randAugmentMagnitude: number(0, { max: 10 }).default(9).describe('RandAugment, 0 to 10'),
  erasing: number(0, { max: 1 }).default(0).describe('Share of images with an erased box'),
  mixup: number(0).default(0).describe('Alpha of mixup, 0: off'),
  cutmix: number(0).default(0).describe('Alpha of cutmix, 0: off'),
  mixProbability: number(0, { max: 1 }).default(1).describe('Share of images that are mixed'),
  seed: integer(0).default(0).describe('Of all that is drawn'),
}))

const schema = lazy(() => zod().object(augmentationShape()))

/** With every default filled in, as the core's Augmentation has it. */
export type ResolvedAugmentation = Readonly<z.output<ReturnType<typeof schema>>>

/**
 * @param side the shorter side of the images in pixels
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function augmentationOf(augment: Augmentation = {}, side: number): ResolvedAugmentation {
  const resolved = parseOptions(schema(), augment, 'augment')
  const { cropPadding } = resolved
  if (cropPadding < side) return resolved
  const what = `a whole number from 0 to ${side - 1}`
  throw new LocalformerError('ERR_CONFIG', expected(what, 'augment.cropPadding', cropPadding))
}

/** Does it mix images, and so labels? */
export function mixes({
  mixup,
  cutmix,
  mixProbability,
}: Pick<ResolvedAugmentation, 'mixup' | 'cutmix' | 'mixProbability'>): boolean {
  return (mixup > 0 || cutmix > 0) && mixProbability > 0
}

/** Does it do anything? */
export function augments(augmentation: ResolvedAugmentation): boolean {
  const { cropPadding, flip, randAugmentOps, erasing } = augmentation
  return cropPadding > 0 || flip || randAugmentOps > 0 || erasing > 0 || mixes(augmentation)
}

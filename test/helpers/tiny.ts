// Networks that train in milliseconds, with batches that are the same on every run.
import type { ImageBatch } from '../../lib/batch/batch.js'
import type { SwinOptions } from '../../lib/local/swin-transformer.js'
import { closedFormula } from './golden.js'

/** Four stages on 32 x 32 pixels: maps of 8, 4, 2 and 1 tokens a side. */
export const TINY = {
  imageSize: 32,
  patchSize: 4,
  windowSize: 4,
  embedDim: 16,
  depths: [2, 1, 1, 1],
  heads: [1, 2, 4, 8],
  classes: 10,
  device: 'cpu',
} as const satisfies SwinOptions

/** Wide enough that a step takes a good part of a second. */
export const SLOW = { ...TINY, embedDim: 64, depths: [4, 2, 2, 2] } as const satisfies SwinOptions

/** Normalised images and labels; another `step`, other ones. */
export function floatBatch(count: number, step = 0, size: number = TINY.imageSize) {
  return {
    images: closedFormula(1000 + step, count * 3 * size * size, 0, 2),
    labels: Int32Array.from({ length: count }, (_, i) => (3 * i + 5 * step + 1) % TINY.classes),
  } satisfies ImageBatch
}

/** The same as bytes. */
export function byteBatch(count: number, step = 0, size: number = TINY.imageSize) {
  const { images, labels } = floatBatch(count, step, size)
  return { images: Uint8Array.from(images, (v) => Math.floor((v + 2) * 63.9)), labels }
}

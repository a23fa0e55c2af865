// A network whose products are large enough to be measured, in a step of a tenth of a second.
import { createHash } from 'node:crypto'
import type { SwinOptions, Tensors } from '../../lib/local/swin-transformer.js'
import { floatBatch } from './tiny.js'

export const LARGE = {
  imageSize: 32,
  patchSize: 2,
  windowSize: 4,
  embedDim: 96,
  depths: [1, 1],
  heads: [3, 6],
  classes: 10,
  device: 'cpu',
} as const satisfies SwinOptions

export function largeBatch(seed: number, images = 16) {
  return floatBatch(images, seed, LARGE.imageSize)
}

/** Of every bit. */
export function digestOf(tensors: Tensors): string {
  const hash = createHash('sha256')
  for (const { data } of Object.values(tensors)) hash.update(new Uint8Array(data.buffer))
  return hash.digest('hex')
}

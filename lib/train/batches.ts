// The batches of an epoch, each prepared with a seed of its own.
import { batchIndices } from '../datasets/draw-batches.js'
import type { Course } from './course.js'
import { augmentationIn } from './options.js'
/** How each batch of an epoch is prepared, from the run's step to its phase's end. */
export function* preparations(course: Course, end: number) {
  const { trainer, split, order, epoch, options: o } = course
  const augmentation = augmentationIn(o)
  let { step } = course
  // Of a run that goes on in the middle of an epoch the first ones are done.
  let skipped = course.stepInEpoch
  for (const indices of batchIndices(split, { ...order, epoch })) {
    if (skipped-- > 0) continue
    if (step === end) return
    const augment = { ...augmentation, seed: batchSeed(o.seed, step++) }
    yield () => trainer.prepare({ split, indices, augment })
  }
}

/**
 * @internal One seed a batch, so that a step's augmentation does not depend on the steps before it.
 * Crops are drawn by PyTorch's generator, which takes only 32 bits of a seed: those above are mixed
 * into them by the golden ratio, or runs whose seeds agree modulo 256 would crop alike.
 */
export function batchSeed(seed: number, step: number): number {
  const plain = (seed % 2 ** 28) * 2 ** 24 + step
  const high = Math.floor(plain / 2 ** 32)
  return high * 2 ** 32 + ((plain ^ Math.imul(high, 0x9e3779b9)) >>> 0)
}

// The batches of an epoch, each prepared with a seed of its own; of a run of several ranks this one's
// share of each.
import type { Augmentation } from '../batch/augmentation.js'
import { augmentationOf, mixes } from '../batch/augmentation.js'
import type { SplitBatch } from '../batch/batch.js'
import type { PreparedBatch } from '../batch/prepared-batch.js'
import { batchIndices } from '../datasets/draw-batches.js'
import type { Course } from './course.js'
import { augmentationIn } from './options.js'

/** What a step is given; where features come from another rank, no batch. */
export interface StepInput extends Disposable {
  readonly batch: PreparedBatch | null
  dispose(): void
}

/** How each batch of an epoch is prepared, from the run's step to its phase's end. */
export function* preparations(course: Course, end: number): Generator<() => Promise<StepInput>> {
  const { trainer, split, order, epoch, options: o } = course
  const augmentation = augmentationIn(o)
  let { step } = course
  // Of a run that goes on in the middle of an epoch the first ones are done.
  let skipped = course.stepInEpoch
  for (const indices of batchIndices(split, { ...order, epoch })) {
    if (skipped-- > 0) continue
    if (step === end) return
    const augment = { ...augmentation, seed: batchSeed(o.seed, step++) }
    if (trainer.takesBatches) {
      const share = shareOf(course, indices, augment)
      yield async () => inputOf(await trainer.prepare({ split, augment, ...share }))
    } else {
      yield async () => inputOf(null)
    }
  }
}

function inputOf(batch: PreparedBatch | null): StepInput {
  const dispose = () => batch?.dispose()
  return { batch, dispose, [Symbol.dispose]: dispose }
}

/** Of a batch what this rank trains on, with the partners of images that are mixed. */
function shareOf(
  { trainer, split }: Course,
  indices: Uint32Array,
  augment: Augmentation,
): Pick<SplitBatch, 'indices' | 'share'> {
  const { replica = 0, replicas = 1 } = trainer.division ?? {}
  if (replicas === 1) return { indices }
  const size = indices.length
  const count = size / replicas
  const first = replica * count
  const own = indices.subarray(first, first + count)
  const share = { first, size }
  if (!mixes(augmentationOf(augment, Math.min(split.height, split.width)))) {
    return { indices: own, share }
  }
  const partners = own.map((_, i) => indices[size - 1 - (first + i)] as number)
  return { indices: Uint32Array.from([...own, ...partners]), share }
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

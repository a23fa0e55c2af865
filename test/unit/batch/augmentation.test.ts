// Options of augmentation and mixed labels, as far as they are checked before the addon is asked.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Augmentation,
  augmentationOf,
  augments,
  mixes,
} from '../../../lib/batch/augmentation.js'
import {
  type ImageBatch,
  type SplitBatch,
  splitToNativeBatch,
  toNativeBatch,
  unmixed,
} from '../../../lib/batch/batch.js'
import { defineDataset } from '../../../lib/datasets/dataset.js'
import { resolveTrainOptions } from '../../../lib/train/options.js'

import { rejects } from '../../helpers/expect.js'

const INPUT = { imageSize: 4, classes: 3 }
const IMAGES = new Uint8Array(2 * 3 * 16)
const LABELS = [0, 2]

test('without options nothing is done', () => {
  const none = augmentationOf(undefined, 4)
  assert.not(augments(none))
  assert.equal(none, augmentationOf({}, 4))
})

test('every operation counts as augmentation, and mixing with a probability alone', () => {
  const on: Augmentation[] = [
    ...[{ cropPadding: 1 }, { flip: true }, { randAugmentOps: 1 }, { erasing: 0.1 }],
    ...[{ mixup: 0.2 }, { cutmix: 1 }],
  ]
  for (const options of on) assert.ok(augments(augmentationOf(options, 4)), JSON.stringify(options))
  assert.ok(mixes(augmentationOf({ cutmix: 1 }, 4)))
  assert.not(augments(augmentationOf({ mixup: 1, mixProbability: 0 }, 4)))
})

test('values that make no sense', async () => {
  const wrong: [name: keyof Augmentation, values: unknown[], allowed: string][] = [
    ['cropPadding', [-1, 0.5, '1'], 'a whole number'],
    ['cropPadding', [4], '0 to 3'],
    ['cropMode', ['mirror', '', 0], 'one of reflect, zero'],
    ['flip', ['yes', 1], 'true or false'],
    ['randAugmentOps', [-1, 0.5, 17, '2'], '0 to 16'],
    ['randAugmentMagnitude', [-0.1, 10.1, Number.NaN, '9'], '0 to 10'],
    ['erasing', [-0.1, 1.1, Number.NaN, true], '0 to 1'],
    ['mixup', [-1, Number.POSITIVE_INFINITY, Number.NaN, '1'], 'at least 0'],
    ['cutmix', [-1, Number.POSITIVE_INFINITY, Number.NaN, {}], 'at least 0'],
    ['mixProbability', [-0.1, 2, Number.NaN, null], '0 to 1'],
    ['seed', [-1, 0.5, 2 ** 53], 'at least 0'],
  ]
  for (const [name, values, allowed] of wrong) {
    for (const value of values) {
      const augment = { [name]: value } as Augmentation
      await rejects(() => augmentationOf(augment, 4), 'ERR_CONFIG', `\`augment.${name}\``, allowed)
    }
  }
  const unknown = { cutout: 1 } as Augmentation
  await rejects(() => augmentationOf(unknown, 4), 'ERR_CONFIG', '"cutout"', 'cutmix')
})

test('training takes the same options and refuses the same values', async () => {
  const options = resolveTrainOptions({ cropMode: 'zero', randAugmentOps: 2, erasing: 0.25 })
  assert.is(options.cropMode, 'zero')
  assert.is(options.randAugmentMagnitude, 9)
  assert.is(options.mixProbability, 1)
  const wrong = { randAugmentOps: 17, randAugmentMagnitude: 11, erasing: 2, mixup: -1, cutmix: -1 }
  for (const [name, value] of Object.entries({ ...wrong, cropMode: 'x', mixProbability: -1 })) {
    await rejects(() => resolveTrainOptions({ [name]: value }), 'ERR_CONFIG', `\`${name}\``)
  }
})

test('float images are not augmented', async () => {
  const images = new Float32Array(2 * 3 * 16)
  const batch = (augment: Augmentation) => () => toNativeBatch({ images, augment }, INPUT)
  batch({ seed: 3 })()
  await rejects(batch({ flip: true }), 'ERR_CONFIG', 'Float images')
  await rejects(batch({ mixup: 1 }), 'ERR_CONFIG', 'Float images')
})

const MIXED = { images: IMAGES, labels: LABELS, otherLabels: [1, 1], labelShares: [0.5, 1] }

test('labels that a script has mixed', async () => {
  const { otherLabels, labelShares } = toNativeBatch(MIXED, INPUT)
  assert.equal(otherLabels, Int32Array.of(1, 1))
  assert.equal(labelShares, Float32Array.of(0.5, 1))
  const refused = (batch: object, code: 'ERR_SHAPE' | 'ERR_CONFIG' | 'ERR_DATASET', part: string) =>
    rejects(() => toNativeBatch({ ...MIXED, ...batch } as ImageBatch, INPUT), code, part)
  await refused({ labels: undefined }, 'ERR_SHAPE', '`labels`')
  await refused({ otherLabels: undefined }, 'ERR_SHAPE', '`otherLabels`')
  await refused({ otherLabels: [1] }, 'ERR_SHAPE', '`otherLabels`')
  await refused({ otherLabels: [1, 3] }, 'ERR_DATASET', '`otherLabels[1]`')
  await refused({ labelShares: undefined }, 'ERR_SHAPE', '`labelShares`')
  await refused({ labelShares: [1] }, 'ERR_SHAPE', '`labelShares`')
  await refused({ labelShares: [0.5, 1.5] }, 'ERR_SHAPE', '`labelShares[1]`')
  await refused({ labelShares: [Number.NaN, 1] }, 'ERR_SHAPE', '`labelShares[0]`')
  await refused({ augment: { cutmix: 1 } }, 'ERR_CONFIG', 'mixed again')
})

test('only a training step takes mixed images', async () => {
  const plain = toNativeBatch({ images: IMAGES, labels: LABELS, augment: { flip: true } }, INPUT)
  assert.is(unmixed(plain), plain)
  const augment = { mixup: 0.2 }
  await rejects(() => unmixed(toNativeBatch(MIXED, INPUT)), 'ERR_CONFIG', 'training step')
  await rejects(
    () => unmixed(toNativeBatch({ images: IMAGES, labels: LABELS, augment }, INPUT)),
    'ERR_CONFIG',
    'training step',
  )
})

const part = { images: IMAGES.map((_, i) => i), labels: Uint8Array.of(0, 2), height: 4, width: 4 }
const data = defineDataset({ name: 'small', classes: ['a', 'b', 'c'], train: part, test: part })

test('places in a split', async () => {
  const split = data.train
  const batch = splitToNativeBatch({ split, indices: [1, 1, 0], augment: { seed: 5 } }, INPUT)
  assert.is(batch.images, split.images, 'the store itself')
  assert.equal(batch.indices, Uint32Array.of(1, 1, 0))
  assert.equal(batch.labels, Int32Array.of(2, 2, 0))
  assert.is(batch.augment.seed, 5)
  const refused = (wrong: object, part: string) =>
    rejects(
      () => splitToNativeBatch({ split, indices: [0], ...wrong } as SplitBatch, INPUT),
      'ERR_SHAPE',
      part,
    )
  for (const index of [-1, 2, 0.5, Number.NaN])
    await refused({ indices: [0, index] }, '`indices[1]`')
  for (const indices of [[], undefined, null, 3]) await refused({ indices }, '`indices`')
  for (const wrong of [undefined, null, {}, 'train']) await refused({ split: wrong }, '`split`')
  for (const wrong of [{ count: 3 }, { width: 5 }, { labels: undefined }]) {
    await refused({ split: { ...split, ...wrong } }, '`split`')
  }
  await refused({ split: { ...split, height: -4 } }, '`height`')
  const few = { imageSize: 4, classes: 2 }
  await rejects(() => splitToNativeBatch({ split, indices: [1] }, few), 'ERR_DATASET')
})

test.run()

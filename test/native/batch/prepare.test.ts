// Batches prepared ahead of their step: the same as without, memory told and given back, and no
// failure or early end that leaves one behind.

import { readdirSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toNativeBatch } from '../../../lib/batch/batch.js'
import { defineDataset } from '../../../lib/datasets/dataset.js'
import { batches } from '../../../lib/datasets/draw-batches.js'
import * as memory from '../../../lib/device/memory.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { loadTorch } from '../../../lib/native/load.js'
import { batchSeed } from '../../../lib/train/batches.js'
import type { TrainOptions } from '../../../lib/train/options.js'
import { learningRateAt } from '../../../lib/train/schedule.js'
import { train } from '../../../lib/train/train.js'
import { changed, rejects, same } from '../../helpers/expect.js'
import { byteBatch, floatBatch, SLOW, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const AUGMENT = {
  ...{ cropPadding: 4, flip: true, randAugmentOps: 2, erasing: 0.25, mixup: 0.8, cutmix: 1 },
} as const

const COUNT = 40
const part = (count: number) => {
  const { images, labels } = byteBatch(count)
  return { images, labels: Uint8Array.from(labels), height: 32, width: 32 }
}
const classes = Array.from({ length: TINY.classes }, (_, i) => `class ${i}`)
const data = defineDataset({ name: 'bytes', classes, train: part(COUNT), test: part(8) })

async function make(options: object = TINY) {
  const model = await SwinTransformer.create({ ...TINY, ...options })
  return { model, trainer: await LocalTrainer.create(model) }
}

/** Losses of every step of a run, and the weights after it. */
async function runOf(options: TrainOptions) {
  const { model, trainer } = await make()
  const losses: (number | null)[][] = []
  for await (const event of train(trainer, data, options)) {
    if (event.type === 'step') losses.push(event.modules.map((module) => module.labelLoss))
  }
  const weights = await model.readParameters()
  model.dispose()
  return { losses, weights }
}

test('training gives what steps with plain batches give, one by one', async () => {
  const run = await runOf({ ...AUGMENT, batchSize: 8, epochs: 2, warmup: 0, seed: 3, testLimit: 0 })
  const { model, trainer } = await make()
  const { height, width, mean, std } = data.train
  const losses: (number | null)[][] = []
  for (const epoch of [1, 2]) {
    const order = { batchSize: 8, seed: 3, shuffle: true, epoch }
    for (const { images, labels } of batches(data.train, order)) {
      const augment = { ...AUGMENT, seed: 3 * 2 ** 24 + losses.length }
      const { modules } = await trainer.step(
        { images, labels, height, width, mean, std, augment },
        {
          learningRate: learningRateAt(losses.length, {
            ...{ learningRate: 1e-3, warmupSteps: 0, totalSteps: 10 },
          }),
        },
      )
      losses.push(modules.map((module) => module.labelLoss))
    }
  }
  assert.equal(run.losses, losses)
  same(await model.readParameters(), run.weights, 'weights')
  model.dispose()
})

test('every step of every run has a seed of its own, in the 32 bits that crops use too', () => {
  const seeds = [0, 1, 255, 256, 257, 512, 65_536, 2 ** 28 - 1]
  const all = seeds.flatMap((seed) => [0, 1, 2, 10_000].map((step) => batchSeed(seed, step)))
  assert.ok(all.every(Number.isSafeInteger))
  assert.is(new Set(all).size, all.length)
  assert.is(new Set(all.map((seed) => seed % 2 ** 32)).size, all.length)
})

test('every option of augmentation reaches the steps', async () => {
  const base = { batchSize: 8, maxSteps: 3, testLimit: 0 }
  const plain = await runOf(base)
  const same = await runOf({ ...base, cropMode: 'reflect', randAugmentMagnitude: 3 })
  assert.equal(same.losses, plain.losses, 'magnitude without operations does nothing')
  const some = { randAugmentOps: 1, erasing: 0.5, mixup: 1, cutmix: 1, cropMode: 'zero' } as const
  for (const [name, value] of Object.entries(some)) {
    assert.not.equal((await runOf({ ...base, [name]: value })).losses, plain.losses, name)
  }
  const off = await runOf({ ...base, mixup: 1, mixProbability: 0 })
  assert.equal(off.losses, plain.losses)
  const [weak, strong] = [1, 10].map((randAugmentMagnitude) =>
    runOf({ ...base, randAugmentOps: 2, randAugmentMagnitude }),
  )
  assert.not.equal((await weak)?.losses, (await strong)?.losses)
})

test('a prepared batch is one byte a value, counted, and gone when it is disposed', async () => {
  const { model, trainer } = await make()
  const before = memory.allocated()
  const batch = await trainer.prepare({ split: data.train, indices: [0, 5, 5], augment: AUGMENT })
  assert.is(batch.count, 3)
  assert.is(batch.byteLength, 3 * 3 * 32 * 32)
  assert.is(memory.allocated(), before + batch.byteLength)
  batch.dispose()
  assert.is(memory.allocated(), before)
  await rejects(() => trainer.step(batch), 'ERR_DISPOSED')
  await rejects(() => batch.read(), 'ERR_DISPOSED')
  model.dispose()
})

test('the batch ahead adds its bytes to the peak of a step and nothing else', async () => {
  const { model, trainer } = await make({ ...TINY, embedDim: 32 })
  const request = { split: data.train, indices: Array.from({ length: 32 }, (_, i) => i) }
  // Of several steps: where this thread is stopped before it disposes, the bytes are there for longer.
  const lowestPeak = async () => {
    const peaks: number[] = []
    for (let i = 0; i < 8; i++) {
      const batch = await trainer.prepare(request)
      const stepping = trainer.step(batch)
      batch.dispose()
      peaks.push((await stepping).peakAllocatedBytes)
    }
    return Math.min(...peaks)
  }
  await lowestPeak()
  const { images, labels, height, width } = data.train
  const plain = images.slice(0, 32 * 3 * 32 * 32)
  const step = await trainer.step({ images: plain, labels: labels.slice(0, 32), height, width })
  const alone = await lowestPeak()
  assert.is(alone, step.peakAllocatedBytes, 'as with a plain batch')
  const ahead = await trainer.prepare(request)
  assert.is(await lowestPeak(), alone + ahead.byteLength)
  model.dispose()
  ahead.dispose()
})

test('it is prepared while a step runs, and may be disposed while its own does', async () => {
  const { model, trainer } = await make(SLOW)
  let stepped = false
  const stepping = trainer.step(byteBatch(8)).then(() => {
    stepped = true
  })
  const batch = await trainer.prepare({ ...byteBatch(8), augment: AUGMENT })
  assert.not(stepped, 'the step is still at work')
  await rejects(() => trainer.step(batch), 'ERR_BUSY')
  await stepping
  const own = trainer.step(batch)
  batch.dispose()
  assert.is((await own).modules.length, 4)
  model.dispose()
})

test('the data thread works alone: it starts no others', async () => {
  const { model, trainer } = await make()
  const threads = () => readdirSync('/proc/self/task').length
  try {
    loadTorch().setThreads(4)
    const before = threads()
    const images = byteBatch(64, 0, 64)
    const batch = await trainer.prepare({ ...images, height: 64, width: 64, augment: AUGMENT })
    assert.is(threads(), before)
    batch.dispose()
  } finally {
    loadTorch().setThreads(1)
  }
  model.dispose()
})

test('what a batch was prepared of may change afterwards', async () => {
  const { model, trainer } = await make()
  const { images, labels } = byteBatch(4)
  using unchanged = await trainer.prepare({ images: images.slice(), labels })
  const preparing = trainer.prepare({ images, labels })
  images.fill(0)
  labels.fill(0)
  using prepared = await preparing
  assert.equal(await prepared.read(), await unchanged.read())
  model.dispose()
})

test('floats are prepared too, as they are', async () => {
  const { model, trainer } = await make()
  const batch = floatBatch(2)
  const prepared = await trainer.prepare(batch)
  const { images, pixels, labels, otherLabels } = await prepared.read()
  assert.equal(images.data, batch.images)
  assert.equal(labels, batch.labels)
  assert.is(pixels, undefined)
  assert.is(otherLabels, undefined)
  assert.is(prepared.byteLength, batch.images.byteLength)
  prepared.dispose()
  model.dispose()
})

test('what does not fit is refused', async () => {
  const { model, trainer } = await make()
  const other = await make({ classes: 20 })
  const larger = await make({ imageSize: 64 })
  using batch = await trainer.prepare(byteBatch(2))
  await rejects(() => other.trainer.step(batch), 'ERR_SHAPE', '10 classes', '20')
  await rejects(() => larger.trainer.step(batch), 'ERR_SHAPE', '32', '64')
  const { images } = byteBatch(2)
  await rejects(() => trainer.prepare({ images }), 'ERR_SHAPE', '`labels`')
  await rejects(() => trainer.prepare(null as never), 'ERR_SHAPE')
  await rejects(() => trainer.prepare({ ...byteBatch(2), augment: { mixup: -1 } }), 'ERR_CONFIG')
  const mixed = { ...byteBatch(2), augment: { mixup: 1 } }
  for (const call of ['evaluate', 'features'] as const) {
    await rejects(() => trainer[call](mixed), 'ERR_CONFIG', 'training step')
  }
  await rejects(() => model.predict(mixed), 'ERR_CONFIG', 'training step')
  model.dispose()
  await rejects(() => trainer.prepare(byteBatch(2)), 'ERR_DISPOSED')
  other.model.dispose()
  larger.model.dispose()
})

test('the addon itself checks places in a store', async () => {
  const { images } = byteBatch(2)
  const batch = { ...toNativeBatch(byteBatch(1), TINY), images, indices: Uint32Array.of(2) }
  assert.throws(() => loadTorch().prepareBatch(batch), /index below 2 for `indices`/)
})

test('too large a batch is out of memory, and the trainer stays usable', async () => {
  const { model, trainer } = await make()
  await trainer.step(byteBatch(2))
  memory.emptyCache()
  memory.setLimit(memory.reserved() + 2 ** 20)
  try {
    const images = new Uint8Array(4096 * 3 * 32 * 32)
    const batch = { images, labels: new Uint8Array(4096) }
    await rejects(() => trainer.prepare(batch), 'ERR_OUT_OF_MEMORY')
  } finally {
    memory.setLimit(0)
  }
  assert.is((await trainer.step(byteBatch(2))).modules.length, 4)
  model.dispose()
})

/** What a run that `during` ends early leaves allocated. */
async function leftBy(
  options: TrainOptions,
  during: (step: number, trainer: LocalTrainer) => unknown,
): Promise<unknown> {
  const { model, trainer } = await make()
  // The first step makes what stays: optimizer state is there before it.
  await trainer.step(byteBatch(8))
  const before = memory.allocated()
  let failure: unknown
  try {
    for await (const event of train(trainer, data, { batchSize: 8, testLimit: 0, ...options })) {
      if (event.type === 'step' && (await during(event.step, trainer)) === 'stop') break
    }
  } catch (error) {
    failure = error
  }
  assert.is(memory.allocated(), before, 'the batch ahead is gone')
  model.dispose()
  return failure
}

test('a run that ends early disposes of the batch ahead', async () => {
  assert.is(await leftBy({ epochs: 1 }, () => {}), undefined, 'to the end')
  assert.is(await leftBy({ epochs: 1 }, (step) => (step === 2 ? 'stop' : '')), undefined, 'break')
  const controller = new AbortController()
  const reason = new Error('enough')
  const { signal } = controller
  const aborted = await leftBy({ signal }, (step) => step === 2 && controller.abort(reason))
  assert.is(aborted, reason, 'aborted')
  const failed = (await leftBy({ learningRate: 1e30, warmup: 0 }, () => {})) as { code?: string }
  assert.is(failed.code, 'ERR_NON_FINITE')
})

test('the crop’s padding is checked against the images', async () => {
  const { model, trainer } = await make()
  const before = await model.readParameters()
  await rejects(
    async () => {
      for await (const _ of train(trainer, data, { batchSize: 8, cropPadding: 32 })) {
        assert.unreachable()
      }
    },
    'ERR_CONFIG',
    '`augment.cropPadding`',
  )
  assert.equal(changed(before, await model.readParameters()), [])
  model.dispose()
})

test.run()

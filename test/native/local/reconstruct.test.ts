// What decoders give back, as images: right pixels, right errors, and training goes on as if nobody
// had looked.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BackpropTrainer,
  type LocalOptions,
  LocalTrainer,
  type Reconstruction,
  SwinTransformer,
} from '../../../lib/index.js'
import { byteBatch, TINY } from '../../helpers/tiny.js'

const MEAN = [0.49, 0.48, 0.45]
const STD = [0.25, 0.24, 0.26]
const COUNT = 4
const BATCH = { ...byteBatch(COUNT), mean: MEAN, std: STD }
const SIDE = TINY.imageSize

async function withTrainer<T>(
  options: LocalOptions,
  use: (trainer: LocalTrainer) => Promise<T>,
): Promise<T> {
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, options)
  return await use(trainer)
}

const reconstruct = (options: LocalOptions) =>
  withTrainer(options, (trainer) => trainer.reconstruct(BATCH))

/** Planar images with the channels last, as they are shown. */
function interleaved(images: Uint8Array): Uint8Array {
  const plane = SIDE * SIDE
  return Uint8Array.from(images, (_, i) => {
    const image = Math.floor(i / (3 * plane))
    const pixel = Math.floor(i / 3) % plane
    return images[(image * 3 + (i % 3)) * plane + pixel] as number
  })
}

function largestDifference(one: Uint8Array, other: Uint8Array): number {
  assert.is(one.length, other.length)
  return one.reduce((most, value, i) => Math.max(most, Math.abs(value - (other[i] ?? 999))), 0)
}

test('the first module is shown the images, the others features in false colours', async () => {
  const all = await reconstruct({ modules: 4 })
  assert.equal(
    all.map(({ module, kind, count, height, width }) => [module, kind, count, height, width]),
    [
      [0, 'pixels', COUNT, SIDE, SIDE],
      // Its input is what comes before the merging at the start of the stage.
      [1, 'components', COUNT, 8, 8],
      [2, 'components', COUNT, 4, 4],
    ],
  )
  const [first] = all as [Reconstruction]
  assert.ok(largestDifference(first.target, interleaved(BATCH.images)) <= 1)
  for (const { target, prediction, count, height, width } of all) {
    assert.is(target.length, count * height * width * 3)
    assert.is(prediction.length, target.length)
  }
})

test('a module that reconstructs the image is shown the image', async () => {
  for (const one of await reconstruct({ modules: 4, target: 'image', distance: 'mse' })) {
    assert.is(one.kind, 'pixels')
    assert.ok(largestDifference(one.target, interleaved(BATCH.images)) <= 1)
    // What the bytes say is what the numbers say.
    const squares = one.target.reduce((sum, v, i) => sum + (v - (one.prediction[i] ?? 0)) ** 2, 0)
    const loss = squares / one.target.length / 255 ** 2
    assert.ok(Math.abs(loss - one.loss) < 0.01 * one.loss, `${loss} and ${one.loss}`)
  }
})

test('loss and relative error of pixels are those of the two images', async () => {
  const [first] = (await reconstruct({ modules: 4 })) as [Reconstruction]
  // The loss is taken of normalised patches: in units of each channel's deviation.
  const normalised = (bytes: Uint8Array) =>
    Float64Array.from(bytes, (v, i) => (v / 255 - (MEAN[i % 3] ?? 0)) / (STD[i % 3] ?? 1))
  const [target, prediction] = [normalised(first.target), normalised(first.prediction)]
  // Bytes are cut to what can be shown, so only pixels inside count.
  const inside = [...first.prediction.keys()].filter((i) => {
    const value = first.prediction[i] ?? 0
    return value > 0 && value < 255
  })
  assert.ok(inside.length > 0.95 * target.length)
  const error = inside.reduce((sum, i) => sum + ((target[i] ?? 0) - (prediction[i] ?? 0)) ** 2, 0)
  assert.ok(Math.abs(error / inside.length - first.loss) < 0.03 * first.loss)
  // Means are over the tokens: one of each place in a patch and channel.
  const slot = (i: number) => {
    const pixel = Math.floor(i / 3) % (SIDE * SIDE)
    return ((pixel % 4) + 4 * (Math.floor(pixel / SIDE) % 4)) * 3 + (i % 3)
  }
  const sums = new Float64Array(48)
  for (const [i, value] of target.entries()) sums[slot(i)] = (sums[slot(i)] ?? 0) + value
  const perSlot = target.length / 48
  const spread = target.reduce((sum, v, i) => sum + (v - (sums[slot(i)] ?? 0) / perSlot) ** 2, 0)
  const relative = (first.loss * target.length) / spread
  assert.ok(Math.abs(relative - first.relativeError) < 0.01 * relative)
})

test('false colours: the components of target and prediction are uncorrelated, in one scale', async () => {
  const [, second] = (await reconstruct({ modules: 4 })) as Reconstruction[]
  const bytes = [...(second?.target ?? []), ...(second?.prediction ?? [])]
  const channel = (c: number) => bytes.filter((_, i) => i % 3 === c)
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const spread = (a: number[], b: number[]) =>
    mean(a.map((v, i) => (v - mean(a)) * ((b[i] ?? 0) - mean(b))))
  for (const c of [0, 1, 2]) {
    const values = channel(c)
    assert.ok(Math.abs(mean(values) - 127.5) < 3, `mean ${mean(values)}`)
    // Three standard deviations are half the range, but for what is cut off.
    const deviation = Math.sqrt(spread(values, values))
    assert.ok(Math.abs(deviation - 255 / 6) < 4, `deviation ${deviation}`)
    const other = channel((c + 1) % 3)
    assert.ok(Math.abs(spread(values, other)) / deviation ** 2 < 0.05, 'correlated')
  }
})

test('training brings the relative error down', async () => {
  await withTrainer({ modules: 4 }, async (trainer) => {
    const before = await trainer.reconstruct(BATCH)
    for (let i = 0; i < 60; i++) await trainer.step(BATCH, { learningRate: 3e-3 })
    const after = await trainer.reconstruct(BATCH)
    after.forEach(({ relativeError, loss }, k) => {
      assert.ok(relativeError < 0.9 * (before[k]?.relativeError ?? 0), `module ${k}`)
      assert.ok(loss < 0.9 * (before[k]?.loss ?? 0))
      assert.ok(relativeError > 0)
    })
  })
})

test('looking changes nothing that is learned', async () => {
  const losses = (look: boolean) =>
    withTrainer({ modules: 4 }, async (trainer) => {
      const seen = []
      for (let i = 0; i < 3; i++) {
        if (look) await trainer.reconstruct(BATCH)
        const { modules } = await trainer.step(BATCH)
        seen.push(
          modules.map(({ labelLoss, reconstructionLoss }) => [labelLoss, reconstructionLoss]),
        )
      }
      return seen
    })
  assert.equal(await losses(true), await losses(false))
})

test('without decoders there is nothing to show, labels are not needed', async () => {
  assert.equal(await reconstruct({ method: 'greedy', modules: 4 }), [])
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await BackpropTrainer.create(model)
  assert.equal(await trainer.reconstruct({ images: BATCH.images }), [])
})

test.run()

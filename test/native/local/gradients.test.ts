// Gradients of what has a backward pass of its own: along them the loss falls as they say, by central
// differences. And what is computed, is computed in one order.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer, type Tensors } from '../../../lib/local/swin-transformer.js'
import { DECODERS, DTYPES } from '../../../lib/local/words.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost, same } from '../../helpers/expect.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

// Floats in [-2, 2]: the image is x * std + mean in [0, 1].
const PIXELS = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] }

/** A step of SGD that knows the reconstruction alone, from these weights or the first ones. */
async function stepped(options: LocalOptions, learningRate: number, weights?: Tensors) {
  await using model = await SwinTransformer.create(TINY)
  // The same seed draws the same decoder and the same tokens.
  await using trainer = await LocalTrainer.create(model, {
    ...{ modules: 2, labelWeight: 0, reconstructionWeight: 1 },
    ...{ optimizer: 'sgd', momentum: 0, weightDecay: 0, ...options },
  })
  if (weights !== undefined) await model.writeParameters(weights)
  const before = await model.readParameters()
  const { modules } = await trainer.step({ ...floatBatch(6), ...PIXELS }, { learningRate })
  const after = await model.readParameters()
  const units = trainer.modules[0]?.units.map((unit) => `${unit}.`) ?? []
  const names = Object.keys(before).filter((name) => units.some((unit) => name.startsWith(unit)))
  return { before, after, names, loss: modules[0]?.reconstructionLoss ?? Number.NaN }
}

/** Weights moved by `scale` times what a step moved them by, those of the names alone. */
function moved(from: Tensors, to: Tensors, names: readonly string[], scale: number): Tensors {
  return Object.fromEntries(
    names.map((name) => {
      const [a, b] = [from[name], to[name]] as [Tensors[string], Tensors[string]]
      return [name, { ...a, data: a.data.map((v, i) => v + scale * ((b.data[i] as number) - v)) }]
    }),
  )
}

const CASES: readonly LocalOptions[] = [
  { decoder: 'conv' },
  { decoder: 'conv', target: 'image' },
  { method: 'infopro', distance: 'mse' },
  { method: 'infopro' },
  { decoder: 'linear', sample: 0.3 },
  { decoder: 'conv', sample: 0.3 },
  { decoder: 'transformer' },
]

for (const options of CASES) {
  test(`${JSON.stringify(options)}: the loss falls as the gradient says`, async () => {
    const { before, after, names, loss } = await stepped(options, 1)
    const squares = names.reduce((sum, name) => {
      const [a, b] = [before[name], after[name]] as [Tensors[string], Tensors[string]]
      return sum + a.data.reduce((inner, v, i) => inner + (v - (b.data[i] as number)) ** 2, 0)
    }, 0)
    assert.ok(squares > 0)
    // Far enough to stand out of float32's rounding, near enough to be a straight line.
    const rate = (2e-3 * loss) / squares
    const at = async (scale: number) =>
      (await stepped(options, 0, moved(before, after, names, scale))).loss
    const [down, up] = [await at(rate), await at(-rate)]
    atMost(Math.abs((up - down) / (2 * rate) / squares - 1), 0.01, 'slope over squared gradient')
  })
}

/** Weights after two steps of everything that allocates, reads by index or draws. */
async function trained(options: LocalOptions): Promise<Tensors> {
  await using model = await SwinTransformer.create({ ...TINY, dropPath: 0.2 })
  await using trainer = await LocalTrainer.create(model, { modules: 3, ...options })
  for (const step of [0, 1]) {
    await trainer.step({ ...floatBatch(6, step), ...PIXELS }, { clipNorm: 1 })
  }
  await trainer.evaluate(floatBatch(6))
  return { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
}

/** Where an operation may differ from time to time it throws, and what is not written is NaN. */
async function assertSettled(options: LocalOptions): Promise<void> {
  const want = await trained(options)
  loadTorch().refuseNondeterminism(true)
  try {
    same(await trained(options), want, 'weights')
  } finally {
    loadTorch().refuseNondeterminism(false)
  }
}

for (const dtype of DTYPES) {
  for (const decoder of DECODERS) {
    test(`${decoder}, ${dtype}: LibTorch knows of nothing that may differ, and all is written that is read`, async () => {
      const options = {
        ...{ dtype, decoder, labelSmoothing: 0.1, penaltyWeight: 0.1 },
        ...(decoder === 'infopro' ? ({ method: 'infopro' } as const) : { sample: 0.5 }),
      }
      await assertSettled(options)
    })
  }
  for (const recompute of ['selective', 'block'] as const) {
    test(`recompute=${recompute}, ${dtype}: what is left out is never read`, async () => {
      await assertSettled({ dtype, recompute })
    })
  }
}

test.run()

// Every part of the definition trains: targets, decoders, heads, distances, penalty, sampling,
// bfloat16; and chunks change nothing.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer, type Tensors } from '../../../lib/local/swin-transformer.js'
import { DECODERS, HEADS, TARGETS, type Target } from '../../../lib/local/words.js'
import { atMost } from '../../helpers/expect.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

// Floats in [-2, 2]: the image is x * std + mean in [0, 1].
const PIXELS = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] }

async function trained(options: LocalOptions, { count = 6, steps = 1, dropPath = 0 } = {}) {
  await using model = await SwinTransformer.create({ ...TINY, dropPath })
  await using trainer = await LocalTrainer.create(model, { modules: 3, eps: 1, ...options })
  const before = { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
  const results = []
  for (let step = 0; step < steps; step++) {
    results.push(
      await trainer.step({ ...floatBatch(count, step), ...PIXELS }, { learningRate: 0.1 }),
    )
  }
  const after = { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
  return { before, after, results, modules: results[0]?.modules ?? [] }
}

function unchanged(before: Tensors, after: Tensors): string[] {
  return Object.keys(before).filter((name) =>
    before[name]?.data.every((value, i) => value === after[name]?.data[i]),
  )
}

function close(
  got: Tensors,
  want: Tensors,
  tolerance: number,
  what: string,
  absolute = 1e-7,
): void {
  for (const [name, { data }] of Object.entries(want)) {
    const other = got[name]?.data ?? new Float32Array()
    const distance = Math.hypot(...data.map((v, i) => v - (other[i] ?? Number.NaN)))
    atMost(distance, tolerance * Math.hypot(...data) + absolute, `${what}: ${name}`)
  }
}

const decodersOf = (target: Target) =>
  DECODERS.filter((decoder) => decoder !== 'infopro' || target === 'image')

for (const target of TARGETS) {
  for (const decoder of target === 'none' ? (['linear'] as const) : decodersOf(target)) {
    for (const head of HEADS) {
      test(`${target}, decoder ${decoder}, head ${head}: every part learns`, async () => {
        const { before, after, modules } = await trained({
          ...{ target, decoder, head },
          ...{ weightDecay: 0, eps: 1e-8 },
        })
        // Without influence are attention's bias where a window is one token, and a convolution's bias
        // before a norm over the batch.
        const still = unchanged(before, after).filter(
          (name) =>
            !(name.endsWith('bias_table') && before[name]?.shape[0] === 1) &&
            !(decoder === 'infopro' && name.endsWith('decoder.conv1.bias')),
        )
        assert.equal(still, [])
        assert.is(
          modules.slice(0, -1).every((m) => (m.reconstructionLoss ?? 0) > 0),
          target !== 'none',
        )
      })
    }
  }
}

for (const decoder of ['linear', 'conv', 'transformer'] as const) {
  for (const head of HEADS) {
    test(`decoder ${decoder}, head ${head}: chunked equals whole`, async () => {
      const options = { decoder, head, sample: 0.5 } as const
      const whole = await trained({ ...options, chunkSize: 6 })
      const chunked = await trained({ ...options, chunkSize: 1 })
      close(chunked.after, whole.after, 1e-6, 'chunked')
      const both = await trained({ ...options, chunkSize: 1, recompute: 'block' })
      close(both.after, whole.after, 1e-6, 'chunked and recomputed')
    })
  }
}

test('distances of a features target differ, and of an image', async () => {
  const lossOf = async (options: LocalOptions) =>
    (await trained(options)).modules[0]?.reconstructionLoss ?? Number.NaN
  const features = [await lossOf({ distance: 'mse' }), await lossOf({ distance: 'l1' })]
  assert.is.not(features[0], features[1])
  const image = { target: 'image' } as const
  const mse = await lossOf({ ...image, distance: 'mse' })
  const bce = await lossOf({ ...image, distance: 'bce' })
  // Untrained, every pixel is about one half: BCE is then ln 2 whatever the image.
  atMost(Math.abs(bce - Math.log(2)), 0.05, 'BCE')
  assert.ok(mse > 0 && mse < 0.25)
})

test("infopro's reconstruction loss is the cross-entropy of the unnormalised pixels", async () => {
  // Its decoder with every weight zero says 1/2 for each pixel but for the last bias.
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, { method: 'infopro', modules: 2 })
  const auxiliary = await trainer.readAuxiliary()
  const zeros = Object.fromEntries(
    Object.entries(auxiliary)
      .filter(([name]) => name.includes('decoder.conv2'))
      .map(([name, { shape, data }]) => [name, { shape, data: new Float32Array(data.length) }]),
  )
  const bias = Object.keys(zeros).find((name) => name.endsWith('bias')) as string
  const logits = [0.5, -1, 2]
  await trainer.writeAuxiliary({ ...zeros, [bias]: { shape: [3], data: new Float32Array(logits) } })
  const batch = floatBatch(4)
  const { modules } = await trainer.step({ ...batch, ...PIXELS })
  const side = TINY.imageSize ** 2
  let sum = 0
  batch.images.forEach((value, i) => {
    const pixel = Math.min(1, Math.max(0, value * 0.25 + 0.5))
    const p = 1 / (1 + Math.exp(-(logits[Math.floor(i / side) % 3] as number)))
    sum -= pixel * Math.log(p) + (1 - pixel) * Math.log(1 - p)
  })
  const want = sum / batch.images.length
  const got = modules[0]?.reconstructionLoss ?? Number.NaN
  atMost(Math.abs(got - want) / want, 1e-5, 'loss')
  assert.equal(trainer.modules[0]?.lossWeights, { label: 1, reconstruction: 5, penalty: 0 })
})

test('the penalty pulls the residual branches down', async () => {
  const options = { method: 'trgl', penaltyWeight: 300, weightDecay: 0 } as const
  const { results } = await trained(options, { steps: 20 })
  const energies = results.map((r) => r.modules[0]?.penalty ?? Number.NaN)
  assert.ok((energies[0] ?? 0) > 0)
  assert.ok((energies[19] ?? 1) < 0.5 * (energies[0] ?? 0), energies.join(' '))
  const plain = await trained({ method: 'greedy' })
  for (const { penalty } of plain.modules) assert.is(penalty, null, 'not asked for')
})

test('penalty and sampling are the same in micro-batches and recomputed', async () => {
  const options = { penaltyWeight: 1, sample: 0.3 } as const
  const whole = await trained(options, { dropPath: 0.3 })
  for (const other of [{ accumulate: 3 }, { recompute: 'block' }, { recompute: 'selective' }]) {
    const got = await trained({ ...options, ...other } as LocalOptions, { dropPath: 0.3 })
    close(got.after, whole.after, 2e-6, JSON.stringify(other))
    const penalties = [got, whole].map((t) => t.modules[0]?.penalty ?? Number.NaN)
    atMost(Math.abs((penalties[0] ?? 0) - (penalties[1] ?? 1)), 1e-6, 'penalty')
  }
})

test('a part of the tokens is another loss than all of them', async () => {
  const all = await trained({})
  const some = await trained({ sample: 0.1 })
  const [a, b] = [all, some].map((t) => t.modules[0]?.reconstructionLoss ?? Number.NaN)
  assert.is.not(a, b)
  atMost(Math.abs((a ?? 0) - (b ?? 9)) / (a ?? 1), 0.3, 'both estimate the same mean')
})

test('bfloat16 is near float32, with float32 weights', async () => {
  for (const options of [{}, { method: 'infopro' }, { head: 'later-stages', decoder: 'conv' }]) {
    const full = await trained(options as LocalOptions)
    const half = await trained({ ...options, dtype: 'bfloat16' } as LocalOptions)
    full.modules.forEach((module, k) => {
      const other = half.modules[k]
      for (const loss of ['labelLoss', 'reconstructionLoss'] as const) {
        assert.is(other?.[loss] === null, module[loss] === null)
        atMost(Math.abs((other?.[loss] ?? 0) - (module[loss] ?? 0)), 0.05, `${loss} ${k}`)
      }
      assert.is.not(other?.labelLoss, module.labelLoss)
    })
    close(half.after, full.after, 0.03, 'weights', 1e-4)
  }
})

test('bfloat16 takes less memory', async () => {
  const large = { count: 64 }
  const full = await trained({}, large)
  const half = await trained({ dtype: 'bfloat16' }, large)
  assert.ok(
    (half.results[0]?.peakAllocatedBytes ?? 9e9) < (full.results[0]?.peakAllocatedBytes ?? 0),
  )
})

test('a balanced split never saves less than stages, for any number of modules', async () => {
  const peakOf = async (options: LocalOptions) => {
    const { results } = await trained({ balanceFor: 64, ...options }, { count: 64 })
    return results[0]?.peakAllocatedBytes ?? Number.NaN
  }
  for (const modules of [2, 3, 4]) {
    const stages = await peakOf({ modules, split: 'stages' })
    const balanced = await peakOf({ modules, split: 'balanced' })
    assert.ok(balanced <= stages, `${modules}: ${balanced} of ${stages}`)
  }
  // Patch embedding, 5 blocks, 3 mergings, classifier.
  const { modules } = await trained({ modules: 10, split: 'balanced' })
  assert.is(modules.length, 10)
})

test('one module for each block', async () => {
  const { modules } = await trained({ split: 'blocks', modules: 5 })
  assert.is(modules.length, 5)
})

test.run()

// Recomputation and accumulation take less memory and change nothing else.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BackpropTrainer } from '../../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LocalOptions, OptimizationOptions } from '../../../lib/local/options.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import type { Trainer } from '../../../lib/local/trainer.js'
import { DTYPES } from '../../../lib/local/words.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost } from '../../helpers/expect.js'
import { TEST_DEVICE } from '../../helpers/test-device.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

type Method = 'backprop' | 'paper' | 'conv'
const METHODS: readonly Method[] = ['backprop', 'paper', 'conv']

function create(model: SwinTransformer, method: Method, options: OptimizationOptions) {
  if (method === 'backprop') return BackpropTrainer.create(model, options)
  const decoder = method === 'conv' ? 'conv' : 'linear'
  return LocalTrainer.create(model, { ...options, modules: 4, decoder } satisfies LocalOptions)
}

async function trained(
  method: Method,
  options: OptimizationOptions,
  { dropPath = 0, count = 8, steps = 3 } = {},
) {
  await using model = await SwinTransformer.create({ ...TINY, device: TEST_DEVICE, dropPath })
  // A large epsilon makes AdamW's update proportional to the gradient, so that rounding stays small.
  await using trainer: Trainer = await create(model, method, { eps: 1, ...options })
  const losses: number[][] = []
  let peak = 0
  for (let step = 0; step < steps; step++) {
    const result = await trainer.step(floatBatch(count, step), { learningRate: 0.1 })
    losses.push(result.modules.flatMap((m) => [m.labelLoss ?? 0, m.reconstructionLoss ?? 0]))
    peak = Math.max(peak, result.peakAllocatedBytes)
  }
  return { losses, peak, weights: await model.readParameters() }
}

type Trained = Awaited<ReturnType<typeof trained>>

function close(got: Trained, want: Trained, tolerance: number, what: string): void {
  want.losses.flat().forEach((loss, i) => {
    const difference = Math.abs((got.losses.flat()[i] ?? Number.NaN) - loss)
    atMost(difference, tolerance * Math.max(1, Math.abs(loss)), `${what}: loss ${i}`)
  })
  for (const [name, { data }] of Object.entries(want.weights)) {
    const other = got.weights[name]?.data ?? new Float32Array()
    const norm = Math.hypot(...data)
    const distance = Math.hypot(...data.map((v, i) => v - (other[i] ?? Number.NaN)))
    atMost(distance, tolerance * norm + 1e-7, `${what}: ${name}`)
  }
}

for (const method of METHODS) {
  test(`${method}: recomputed gradients are the plain ones, stochastic depth included`, async () => {
    const plain = await trained(method, {}, { dropPath: 0.3 })
    for (const recompute of ['selective', 'block'] as const) {
      close(await trained(method, { recompute }, { dropPath: 0.3 }), plain, 1e-6, recompute)
    }
  })

  test(`${method}: micro-batches give the whole batch's result`, async () => {
    const whole = await trained(method, {}, { dropPath: 0.3 })
    for (const accumulate of [2, 4, 8, 100]) {
      close(
        await trained(method, { accumulate }, { dropPath: 0.3 }),
        whole,
        2e-6,
        `accumulate ${accumulate}`,
      )
    }
    const uneven = await trained(method, {}, { count: 7 })
    close(await trained(method, { accumulate: 3 }, { count: 7 }), uneven, 2e-6, '7 in 3')
  })

  test(`${method}: both together, too`, async () => {
    const plain = await trained(method, {})
    const both = await trained(method, { recompute: 'block', accumulate: 2 })
    close(both, plain, 2e-6, 'both')
  })
}

for (const dtype of DTYPES) {
  test(`selective keeps nothing between a norm and a linear layer: ${dtype}`, async () => {
    const batch = 4
    await using model = await SwinTransformer.create(TINY)
    const changesGrid = [0, 3, 5, 7]
    const kept = async (recompute: 'none' | 'selective') => {
      const costs = await model.measureUnits(batch, { recompute, dtype })
      return changesGrid.map((unit) => costs[unit]?.keptBytes ?? Number.NaN)
    }
    const plain = await kept('none')
    const lean = await kept('selective')
    // What the patch embedding norms in float32; what mergings of 8, 4 and 2 tokens a side map.
    const between = [64 * 16 * 4]
    for (const [tokens, channels] of [
      [16, 64],
      [4, 128],
      [1, 256],
    ] as const) {
      between.push(tokens * channels * (dtype === 'bfloat16' ? 2 : 4))
    }
    assert.equal(
      plain.map((bytes, i) => bytes - (lean[i] as number)),
      between.map((bytes) => bytes * batch),
    )
  })
}

test('chunks of the auxiliary losses leave those of recomputation alone', async () => {
  const options: LocalOptions = { recompute: 'block', target: 'none' }
  const inOne: LocalOptions = { ...options, chunkSize: 64 }
  const own = await trained('paper', options, { count: 64 })
  const whole = await trained('paper', inOne, { count: 64 })
  assert.is(whole.peak, own.peak)
})

/** Of a plain step, weights and optimizer state included; a card's parts and workspaces are others. */
const MOST_OF_PLAIN = {
  float32: 0.6,
  // Without instructions for bfloat16 every product has operands in float32 beside it.
  bfloat16: loadTorch().versions().cpuCapability.startsWith('AVX512') ? 0.67 : 0.74,
}
const onCpu = TEST_DEVICE === 'cpu' ? test : test.skip
for (const dtype of DTYPES) {
  const most = MOST_OF_PLAIN[dtype]
  onCpu(
    `${dtype}: selective takes ${most} of the plain step at most, block less still`,
    async () => {
      const large = { count: 64, steps: 1 }
      const { peak } = await trained('backprop', { dtype }, large)
      const selective = await trained('backprop', { dtype, recompute: 'selective' }, large)
      const block = await trained('backprop', { dtype, recompute: 'block' }, large)
      atMost(selective.peak, most * peak, 'selective')
      atMost(block.peak, selective.peak - 1, 'block')
    },
  )
}

test('each takes less memory than the plain step, both together least', async () => {
  const large = { count: 64, steps: 1 }
  for (const method of ['backprop', 'paper'] as const) {
    const { peak } = await trained(method, {}, large)
    const recomputed = await trained(method, { recompute: 'block' }, large)
    const accumulated = await trained(method, { accumulate: 4 }, large)
    const both = await trained(method, { recompute: 'block', accumulate: 4 }, large)
    assert.ok(recomputed.peak < peak, `${method}: recompute ${recomputed.peak} of ${peak}`)
    assert.ok(accumulated.peak < peak, `${method}: accumulate ${accumulated.peak} of ${peak}`)
    assert.ok(both.peak < Math.min(recomputed.peak, accumulated.peak), method)
  }
})

test.run()

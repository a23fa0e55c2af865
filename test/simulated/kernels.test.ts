// What a step computes with on a CUDA device, by the names of its kernels and by LibTorch's switches:
// no sum whose order is left to chance, and TF32 only where it is asked for.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as simulation from '../../lib/device/simulation.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../lib/local/options.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { load, loadTorch } from '../../lib/native/load.js'
import { floatBatch, TINY } from '../helpers/tiny.js'

load({ simulate: 'h100' })

/**
 * Kernels of LibTorch 2.11 that add up atomically, by parts of their names: the backward passes of an
 * indexed read, of a bilinear step, of an embedding; scattered sums (PyTorch's list in the documentation
 * of torch.use_deterministic_algorithms).
 */
const ATOMIC =
  /indexFunc|indexing_backward|index_add|upsample_\w+_backward|embedding_backward|scatter_add|_scatter_gather_elementwise_kernel.*[aA]dd|atomic|put_accumulate/

async function stepOf(options: LocalOptions) {
  await using model = await SwinTransformer.create({ ...TINY, dropPath: 0.1, device: 'cuda' })
  await using trainer = await LocalTrainer.create(model, { modules: 2, ...options })
  const before = new Map(simulation.kernels().map(({ name, launches }) => [name, launches]))
  const calls = simulation.calls() as simulation.DeviceCalls
  await trainer.step(floatBatch(8), { clipNorm: 1 })
  const after = simulation.calls() as simulation.DeviceCalls
  const launched = simulation
    .kernels()
    .filter(({ name, launches }) => launches > (before.get(name) ?? 0))
    .map(({ name }) => name)
  return {
    launched,
    products: after.products - calls.products,
    tf32Products: after.tf32Products - calls.tf32Products,
    arithmetic: loadTorch().arithmetic(),
  }
}

test('kernels are known by their names', async () => {
  const { launched } = await stepOf({})
  assert.ok(launched.length > 10)
  for (const part of ['softmax', 'layer_norm', 'adam', 'GeluBackward']) {
    assert.ok(
      launched.some((name) => name.toLowerCase().includes(part.toLowerCase())),
      `${part} among ${launched.length} kernels`,
    )
  }
  assert.not(launched.includes('unknown'))
})

for (const options of [
  {},
  { decoder: 'conv' },
  { decoder: 'transformer', head: 'later-stages' },
  { method: 'infopro' },
  { method: 'trgl' },
  { sample: 0.5 },
  { recompute: 'block', dtype: 'bfloat16' },
  { recompute: 'selective', head: 'mlp' },
] as const satisfies readonly LocalOptions[]) {
  test(`no kernel of a step adds up atomically: ${JSON.stringify(options)}`, async () => {
    const { launched, arithmetic } = await stepOf(options)
    assert.equal(
      launched.filter((name) => ATOMIC.test(name)),
      [],
    )
    assert.is(arithmetic.deterministicCudnn, true)
    assert.is(arithmetic.benchmarkCudnn, false)
  })
}

test('float32 is IEEE for products and convolutions alike, or TF32 for both', async () => {
  const ieee = await stepOf({ decoder: 'conv' })
  assert.ok(ieee.products > 0)
  assert.is(ieee.tf32Products, 0)
  assert.equal([ieee.arithmetic.products, ieee.arithmetic.convolutions], ['ieee', 'ieee'])
  const tf32 = await stepOf({ decoder: 'conv', precision: 'tf32' })
  assert.is(tf32.tf32Products, tf32.products)
  assert.equal([tf32.arithmetic.products, tf32.arithmetic.convolutions], ['tf32', 'tf32'])
})

test.run()

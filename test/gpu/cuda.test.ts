// What has to be computed on a CUDA device. On a machine without one every test is skipped; what needs
// no arithmetic is in memory.test.ts.
import { test as plain } from 'uvu'
import * as assert from 'uvu/assert'
import { cudaDeviceCount, whyNoCuda } from '../../lib/device/device.js'
import { BackpropTrainer } from '../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../lib/local/options.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import type { Trainer } from '../../lib/local/trainer.js'
import { loadTorch } from '../../lib/native/load.js'
import { atMost, changed, isShareOf, rejects, same } from '../helpers/expect.js'
import { byteBatch, floatBatch, TINY } from '../helpers/tiny.js'

// Read once, with the first product: cuBLAS then counts as deterministic for LibTorch too.
process.env.CUBLAS_WORKSPACE_CONFIG = ':4096:8'

const count = cudaDeviceCount()
if (count === 0) console.log(`SKIP: ${whyNoCuda()}`)
const test = count === 0 ? plain.skip : plain

const ON_CUDA = { ...TINY, device: 'cuda' } as const
const BATCH = 32

test('auto takes the first device and says why', async () => {
  await using model = await SwinTransformer.create({ ...TINY, device: 'auto' })
  assert.is(model.device, 'cuda:0')
  assert.match(model.deviceReason, 'CUDA')
})

for (const [name, create] of [
  ['backprop', (model: SwinTransformer) => BackpropTrainer.create(model)],
  ['paper:4', (model: SwinTransformer) => LocalTrainer.create(model)],
  ['conv', (model: SwinTransformer) => LocalTrainer.create(model, { decoder: 'conv' })],
] as const) {
  test(`${name}: losses are those of the CPU within 1e-3`, async () => {
    const run = async (device: 'cpu' | 'cuda') => {
      await using model = await SwinTransformer.create({ ...TINY, device })
      const trainer: Trainer = await create(model)
      const losses: number[] = []
      for (let step = 0; step < 3; step++) {
        const { modules } = await trainer.step(floatBatch(BATCH, step))
        for (const module of modules)
          losses.push(module.labelLoss ?? 0, module.reconstructionLoss ?? 0)
      }
      return losses
    }
    const [onCpu, onCuda] = [await run('cpu'), await run('cuda')]
    onCpu.forEach((loss, i) => {
      atMost(Math.abs((onCuda[i] as number) - loss), 1e-3 * loss, `loss ${i}`)
    })
  })
}

for (const [name, options] of [
  ['linear', {}],
  ['a part of the tokens', { sample: 0.5 }],
  ['conv', { decoder: 'conv' }],
  ['transformer', { decoder: 'transformer', head: 'later-stages' }],
  ['infopro', { method: 'infopro' }],
  ['recompute=block', { recompute: 'block' }],
  ['bfloat16', { decoder: 'conv', dtype: 'bfloat16' }],
  ['tf32', { decoder: 'conv', precision: 'tf32' }],
] as const satisfies readonly (readonly [string, LocalOptions])[]) {
  test(`${name}: the same steps give the same bits, and LibTorch knows of none that may differ`, async () => {
    const run = async () => {
      await using model = await SwinTransformer.create({ ...ON_CUDA, dropPath: 0.1 })
      const trainer = await LocalTrainer.create(model, options)
      for (let step = 0; step < 3; step++) {
        await trainer.step(floatBatch(BATCH, step), { clipNorm: 1 })
      }
      return { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
    }
    const first = await run()
    same(await run(), first, 'weights')
    loadTorch().refuseNondeterminism(true)
    try {
      await run()
    } finally {
      loadTorch().refuseNondeterminism(false)
    }
  })
}

for (const optimizer of ['adamw', 'sgd'] as const) {
  test(`what is no finite number is told by module, and nothing of it is learned: ${optimizer}`, async () => {
    await using model = await SwinTransformer.create({ ...ON_CUDA, dropPath: 0.1 })
    const trainer = await LocalTrainer.create(model, { optimizer })
    await trainer.keepAverage(0.9)
    const all = async () => ({
      ...(await model.readParameters()),
      ...(await trainer.readAuxiliary()),
      ...(await trainer.readState()).tensors,
    })
    await trainer.step(floatBatch(BATCH))
    const before = await all()
    const { generator } = await trainer.readState()
    const bad = floatBatch(BATCH, 1)
    bad.images[100] = Number.NaN
    for (const options of [{}, { clipNorm: 1 }]) {
      const error = await rejects(
        () => trainer.step(bad, options),
        'ERR_NON_FINITE',
        'label loss of module 1',
      )
      assert.equal([error.module, error.loss], ['module 1', 'label'])
      same(await all(), before, 'untouched')
      assert.equal((await trainer.readState()).generator, generator)
    }
    const name = 'layers.2.blocks.0.mlp.fc1.weight'
    const { shape, data } = before[name] as { shape: number[]; data: Float32Array }
    await model.writeParameters({ [name]: { shape, data: data.map(() => 1e30) } })
    const broken = await all()
    await rejects(() => trainer.step(floatBatch(BATCH, 2)), 'ERR_NON_FINITE', 'module 3')
    const moved = changed(broken, await all())
    assert.ok(moved.some((name) => name.startsWith('layers.0.')))
    assert.equal(
      moved.filter((name) => /layers\.[23]\.|auxiliary\.2\./.test(name)),
      [],
    )
    await model.writeParameters({ [name]: { shape, data } })
    await trainer.step(floatBatch(BATCH, 3))
  })
}

test('a local step learns on the device, one module after another', async () => {
  await using model = await SwinTransformer.create(ON_CUDA)
  const trainer = await LocalTrainer.create(model)
  const first = await trainer.step(byteBatch(BATCH), { learningRate: 3e-3 })
  let last = first
  for (let step = 0; step < 30; step++) {
    last = await trainer.step(byteBatch(BATCH), { learningRate: 3e-3 })
  }
  assert.equal(
    last.modules.map((module) => module.modulesWithGradients),
    [[0], [1], [2], [3]],
  )
  const lossOf = (step: typeof last) => step.modules.at(-1)?.labelLoss as number
  isShareOf(lossOf(last), 0.9, lossOf(first), "the classifier's loss")
})

plain.run()

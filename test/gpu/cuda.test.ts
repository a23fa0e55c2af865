// What can only be seen on a CUDA device. On a machine without one every test is skipped.
import { test as plain } from 'uvu'
import * as assert from 'uvu/assert'
import * as cuda from '../../lib/device/cuda.js'
import { cudaDeviceCount, whyNoCuda } from '../../lib/device/device.js'
import * as memory from '../../lib/device/memory.js'
import { BackpropTrainer } from '../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../lib/local/options.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import type { Trainer } from '../../lib/local/trainer.js'
import { loadTorch } from '../../lib/native/load.js'
import { atMost, isShareOf, rejects, same } from '../helpers/expect.js'
import { byteBatch, floatBatch, TINY } from '../helpers/tiny.js'

// Read once, with the first product: cuBLAS then counts as deterministic for LibTorch too.
process.env.CUBLAS_WORKSPACE_CONFIG = ':4096:8'

const count = cudaDeviceCount()
if (count === 0) console.log(`SKIP: ${whyNoCuda()}`)
const test = count === 0 ? plain.skip : plain

const ON_CUDA = { ...TINY, device: 'cuda' } as const
const BATCH = 32

test('the device is there and says what it is', async () => {
  assert.ok(cuda.isAvailable())
  assert.is(cuda.deviceCount(), count)
  const { name, major, totalMemoryBytes, multiProcessorCount } = cuda.getDeviceProperties(0)
  assert.ok(name.length > 0)
  assert.ok(major >= 5 && multiProcessorCount > 0)
  assert.ok(totalMemoryBytes > 2 ** 30)
  const { freeBytes, totalBytes } = cuda.memGetInfo()
  assert.ok(freeBytes > 0 && freeBytes <= totalBytes)
  await cuda.synchronize()
  await rejects(() => cuda.memoryAllocated(count), 'ERR_DEVICE_UNAVAILABLE', `cuda:${count}`)
})

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

test('statistics, peaks and the cache are those of the device', async () => {
  const before = cuda.memoryAllocated()
  const onCpu = memory.allocated('cpu')
  {
    await using model = await SwinTransformer.create(ON_CUDA)
    const trainer = await LocalTrainer.create(model)
    await trainer.step(floatBatch(BATCH))
    assert.ok(cuda.memoryAllocated() > before + 4 * model.parameterCount)
    cuda.resetPeakMemoryStats()
    assert.is(cuda.maxMemoryAllocated(), cuda.memoryAllocated())
    assert.is(cuda.maxMemoryReserved(), cuda.memoryReserved())
    const step = await trainer.step(floatBatch(BATCH, 1))
    assert.is(cuda.maxMemoryAllocated(), step.peakAllocatedBytes, 'the step made the peak')
    assert.ok(step.peakAllocatedBytes > cuda.memoryAllocated())
    const peaks = step.modules.map((module) => module.peakAllocatedBytes)
    assert.is(Math.max(...peaks), step.peakAllocatedBytes)
    const flat = cuda.memoryStats().flat()
    assert.equal(Object.keys(flat).sort(), Object.keys(memory.stats('cpu').flat()).sort())
    assert.is(flat['allocated_bytes.all.peak'], cuda.maxMemoryAllocated())
    const segments = cuda.memorySnapshot()
    const total = segments.reduce((sum, segment) => sum + segment.totalSize, 0)
    assert.is(total, cuda.memoryReserved())
    assert.match(cuda.memorySummary(), 'allocated')
  }
  assert.is(cuda.memoryAllocated(), before, 'disposing frees the device at once')
  assert.is(memory.allocated('cpu'), onCpu)
  const kept = cuda.memoryReserved()
  cuda.emptyCache()
  assert.ok(cuda.memoryReserved() < kept)
})

test('four modules peak below backpropagation', async () => {
  const peak = async (create: (model: SwinTransformer) => Promise<Trainer>) => {
    await using model = await SwinTransformer.create({ ...ON_CUDA, depths: [2, 2, 2, 2] })
    const trainer = await create(model)
    await trainer.step(floatBatch(256))
    const resident = cuda.memoryAllocated()
    return (await trainer.step(floatBatch(256))).peakAllocatedBytes - resident
  }
  const backprop = await peak((model) => BackpropTrainer.create(model))
  const paper = await peak((model) => LocalTrainer.create(model))
  isShareOf(paper, 0.7, backprop, 'activations at the peak of paper:4')
})

test('a step above the fraction fails, and the next one works', async () => {
  await using model = await SwinTransformer.create(ON_CUDA)
  const trainer = await LocalTrainer.create(model)
  await trainer.step(floatBatch(2))
  const resident = cuda.memoryAllocated()
  cuda.emptyCache()
  // A little more than what is held now, which a batch of 1024 does not fit in.
  const limit = cuda.memoryReserved() + 2 ** 22
  cuda.setPerProcessMemoryFraction(limit / cuda.getDeviceProperties().totalMemoryBytes)
  try {
    const error = await rejects(() => trainer.step(floatBatch(1024)), 'ERR_OUT_OF_MEMORY', 'cuda')
    assert.ok((error.allocatedBytes as number) > 0)
    assert.is(cuda.memoryAllocated(), resident, 'all that the step took is freed')
  } finally {
    cuda.setPerProcessMemoryFraction(1)
  }
  await trainer.step(floatBatch(1024))
})

plain.run()

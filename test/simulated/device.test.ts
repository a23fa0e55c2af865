// A simulated card in this process: what every CUDA device shows, and what only this one can be asked.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { syntheticDataset } from '../../lib/datasets/synthetic.js'
import * as cuda from '../../lib/device/cuda.js'
import { resolveDevice } from '../../lib/device/device.js'
import * as memory from '../../lib/device/memory.js'
import * as simulation from '../../lib/device/simulation.js'
import {
  evaluate,
  LocalTrainer,
  loadRun,
  predict,
  SwinTransformer,
  train,
} from '../../lib/index.js'
import { BackpropTrainer } from '../../lib/local/backprop-trainer.js'
import { compare } from '../../lib/measure/compare.js'
import { load, loadTorch } from '../../lib/native/load.js'
import { cardNamed } from '../../lib/simulated/cards.js'
import { testDevice } from '../helpers/device-tests.js'
import { rejects } from '../helpers/expect.js'
import { floatBatch, TINY } from '../helpers/tiny.js'

const CARD = cardNamed('rtx3060')
load({ simulate: 'rtx3060' })

const ON_CARD = { ...TINY, device: 'cuda' } as const

test('before anything is taken, all but the context of the card is free', () => {
  assert.is(simulation.card(), CARD)
  assert.equal(cuda.memGetInfo(), {
    freeBytes: CARD.totalBytes - CARD.contextBytes,
    totalBytes: CARD.totalBytes,
  })
  assert.equal(cuda.getDeviceProperties(), {
    name: CARD.name,
    major: CARD.major,
    minor: CARD.minor,
    totalMemoryBytes: CARD.totalBytes,
    multiProcessorCount: CARD.multiprocessors,
    // A card that is not there has one that no card has.
    uuid: '51'.repeat(16),
  })
})

test('its workspaces come with the first network and stay, and what is reserved is not free', async () => {
  assert.is(memory.workspaces('cuda:0'), 0)
  const model = await SwinTransformer.create(ON_CARD)
  const workspaces = memory.workspaces('cuda:0')
  assert.ok(workspaces > 2 ** 20)
  const other = await SwinTransformer.create(ON_CARD)
  const trainer = await BackpropTrainer.create(other)
  await trainer.step(floatBatch(8))
  assert.is(memory.workspaces('cuda:0'), workspaces, 'the same after a step of another network')
  await other.dispose()
  await model.dispose()
  assert.is(cuda.memoryAllocated(), workspaces, 'nothing else stays')
  const taken = CARD.totalBytes - CARD.contextBytes - cuda.memGetInfo().freeBytes
  assert.is(taken, cuda.memoryReserved())
  assert.is(memory.workspaces('cpu'), 0)
})

testDevice(test, 1)

test('sim:NAME is this card; auto never is; another card is refused', async () => {
  await using model = await SwinTransformer.create({ ...TINY, device: 'sim:RTX 3060' })
  assert.is(model.device, 'cuda:0')
  assert.match(model.deviceReason, /simulated: nothing is computed/)
  assert.is(resolveDevice('auto').name, 'cpu')
  load({ simulate: 'rtx3060' })
  load()
  for (const work of [
    () => load({ simulate: 'h100' }),
    () => SwinTransformer.create({ ...TINY, device: 'sim:h100' }),
  ]) {
    await rejects(work, 'ERR_CONFIG', 'NVIDIA H100', CARD.name, 'in a process of its own')
  }
  await rejects(() => load({ simulate: 'rtx306' }), 'ERR_CONFIG', 'did you mean')
})

test('what computes refuses it', async () => {
  await using model = await SwinTransformer.create(ON_CARD)
  const trainer = await LocalTrainer.create(model)
  const data = syntheticDataset({ trainCount: 8, testCount: 8 })
  for (const [what, work] of [
    ['train', () => train(trainer, data, { epochs: 1 })],
    ['evaluate', () => evaluate(trainer, data.test)],
    ['evaluate', () => evaluate(model, data.test)],
    ['predict', () => predict(model, [], { mean: [0, 0, 0], std: [1, 1, 1] })],
    ['evaluate or predict with a run', () => loadRun('nowhere', 'cuda')],
    ['evaluate or predict with a run', () => loadRun('nowhere', 'sim:rtx3060')],
  ] as const) {
    await rejects(work, 'ERR_CONFIG', 'computes nothing', `cannot ${what}`, '`compare`')
  }
})

test('kernels are known by name, and only those that were launched', async () => {
  await using model = await SwinTransformer.create(ON_CARD)
  const trainer = await LocalTrainer.create(model)
  const before = launchesOf(/layer_norm_grad_input/)
  await trainer.step(floatBatch(4))
  assert.ok(launchesOf(/layer_norm_grad_input/) > before)
  const kernels = simulation.kernels()
  assert.is(
    kernels.reduce((sum, { launches }) => sum + launches, 0),
    simulation.calls()?.launches,
  )
  assert.is(
    kernels.some(({ name, launches }) => name === 'unknown' || launches <= 0),
    false,
  )
  const counts = kernels.map(({ launches }) => launches)
  assert.equal(
    counts,
    [...counts].sort((a, b) => b - a),
  )
})

function launchesOf(name: RegExp): number {
  const all = simulation.kernels().filter((kernel) => name.test(kernel.name))
  return all.reduce((sum, { launches }) => sum + launches, 0)
}

test("a step's calls are its phases' and the batch's", async () => {
  await using model = await SwinTransformer.create(ON_CARD)
  const trainer = await LocalTrainer.create(model)
  await trainer.step(floatBatch(4))
  const before = simulation.calls()
  const { calls = [], modules } = await trainer.step(floatBatch(4, 1), { calls: true })
  const after = simulation.calls()
  assert.equal(
    [...new Set(calls.map(({ module }) => module))],
    modules.map((_, k) => k),
  )
  assert.equal(
    calls.filter(({ module }) => module === 1).map(({ phase }) => phase),
    ['forward', 'losses', 'backward', 'update'],
  )
  const outside = (name: keyof simulation.DeviceCalls) =>
    (after?.[name] ?? 0) -
    (before?.[name] ?? 0) -
    calls.reduce((sum, phase) => sum + phase.calls[name], 0)
  // Images, cut into patches, and labels; what was measured comes back.
  assert.is(outside('pageableCopies'), 0)
  assert.is(outside('pinnedCopies'), 2)
  assert.is(outside('bytesToDevice'), 4 * (4 * 3 * 32 * 32) + 8 * 4)
  assert.is(outside('products'), 0)
  assert.is(outside('unorderedUses'), 0)
  assert.ok(outside('launches') >= 0)
  assert.ok(calls.every((phase) => Object.values(phase.calls).every((count) => count >= 0)))
  const products = calls.filter(({ calls }) => calls.products > 0).map(({ phase }) => phase)
  assert.equal([...new Set(products)].sort(), ['backward', 'forward', 'losses'])
  const plain = await trainer.step(floatBatch(4, 2))
  assert.is(plain.calls, undefined)
})

test('a cudaMalloc that fails once is tried again; a kernel that fails is an error', async () => {
  await using model = await SwinTransformer.create(ON_CARD)
  const trainer = await LocalTrainer.create(model)
  await trainer.step(floatBatch(4))
  cuda.emptyCache()
  loadTorch().failSimulatedCall('cudaMalloc', 0, 2)
  await trainer.step(floatBatch(64))
  loadTorch().failSimulatedCall('cudaLaunchKernel', 40, 719)
  await rejects(() => trainer.step(floatBatch(4)), 'ERR_TORCH', 'unspecified launch failure')
  await trainer.step(floatBatch(4))
})

test('cuts of equal memory are the same before and after other work', async () => {
  const cuts = async () => {
    await using model = await SwinTransformer.create({ ...ON_CARD, depths: [2, 2, 6, 2] })
    const trainer = await LocalTrainer.create(model, {
      ...{ modules: 4, split: 'balanced', recompute: 'block' },
    })
    await trainer.step(floatBatch(64))
    return trainer.cuts
  }
  const cold = await cuts()
  assert.equal(await cuts(), cold)
  cuda.emptyCache()
  assert.equal(await cuts(), cold)
})

test('what is compared on cuda runs on this card, in processes of their own', async () => {
  const { device, simulated, rows } = await compare({
    ...{
      runs: ['backprop', 'paper:4', 'paper:4,offload=modules'],
      batchSize: 2,
      steps: 1,
      warmup: 0,
    },
    data: syntheticDataset({ trainCount: 2, testCount: 1, imageSize: 32 }),
    model: { variant: 'tiny', imageSize: 32, device: 'cuda' },
  })
  assert.is(device, 'sim:rtx3060')
  assert.is(simulated, CARD.name)
  assert.equal(
    rows.map(({ offload, paperSaving }) => [offload, paperSaving]),
    // The paper measured nothing that waits on the host.
    [
      ['none', null],
      ['none', 0.45],
      ['modules', null],
    ],
  )
})

test('what all runs are trained with is told of each, but where a run says otherwise', async () => {
  const { rows } = await compare({
    ...{ runs: ['paper:4', 'paper:4,recompute=none'], batchSize: 2, steps: 1, warmup: 0 },
    data: syntheticDataset({ trainCount: 2, testCount: 1, imageSize: 32 }),
    model: { variant: 'micro', imageSize: 32, device: 'cuda' },
    training: { recompute: 'selective', dtype: 'bfloat16' },
  })
  assert.equal(
    rows.map(({ recompute, dtype }) => [recompute, dtype]),
    [
      ['selective', 'bfloat16'],
      ['none', 'bfloat16'],
    ],
  )
})

test.run()

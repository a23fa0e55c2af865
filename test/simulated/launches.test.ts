// What a step asks of a card: how often the host waits, what it copies, how much it launches.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ImageBatch } from '../../lib/batch/batch.js'
import * as cuda from '../../lib/device/cuda.js'
import * as simulation from '../../lib/device/simulation.js'
import { parseRunSpec } from '../../lib/local/run-spec.js'
import { type SwinOptions, SwinTransformer } from '../../lib/local/swin-transformer.js'
import type { StepOptions } from '../../lib/local/trainer.js'
import { createTrainer } from '../../lib/local/trainer-of-spec.js'
import { DTYPES } from '../../lib/local/words.js'
import { load } from '../../lib/native/load.js'
import { byteBatch, floatBatch, TINY } from '../helpers/tiny.js'

load({ simulate: 'h100' })

const BATCH = 8

interface Subject {
  readonly spec: string
  readonly network?: SwinOptions
  readonly batch?: ImageBatch
  readonly options?: StepOptions
  readonly average?: boolean
}

/** Swin-Tiny at 224 px, and a batch of so many images. */
function tinySwin(count: number) {
  const images = new Uint8Array(count * 3 * 224 * 224)
  const network = { variant: 'tiny', imageSize: 224 } as const
  return { network, batch: { images, labels: new Int32Array(count) } }
}

/** What a steady step calls. */
async function callsOf(subject: Subject) {
  const { spec, network = TINY, batch = floatBatch(BATCH), options, average } = subject
  await using model = await SwinTransformer.create({ ...network, dropPath: 0.1, device: 'cuda' })
  await using trainer = await createTrainer(model, parseRunSpec(spec), {}, batch.labels?.length)
  if (average) await trainer.keepAverage(0.9)
  await trainer.step(batch, options)
  const before = simulation.calls() as simulation.DeviceCalls
  await trainer.step(batch, options)
  const after = simulation.calls() as simulation.DeviceCalls
  const entries = Object.entries(after).map(([name, count]) => [
    name,
    count - before[name as keyof simulation.DeviceCalls],
  ])
  return Object.fromEntries(entries) as simulation.DeviceCalls
}

const mixed = {
  ...floatBatch(BATCH),
  otherLabels: new Int32Array(BATCH),
  labelShares: new Float32Array(BATCH).fill(0.5),
}

for (const [name, subject] of Object.entries({
  backprop: { spec: 'backprop' },
  'bfloat16 with a limit on gradients': {
    spec: 'backprop,dtype=bfloat16',
    options: { clipNorm: 1 },
  },
  paper: { spec: 'paper:4' },
  'drawn tokens': { spec: 'paper:4,sample=0.5' },
  'recomputation in micro-batches': { spec: 'paper:4,recompute=block,accumulate=2' },
  'heavy parts': { spec: 'paper:4,decoder=transformer,head=later-stages' },
  InfoPro: { spec: 'infopro:4' },
  'a penalty': { spec: 'trgl:4' },
  'mixed labels and an average': { spec: 'greedy:4', batch: mixed, average: true },
  bytes: { spec: 'paper:4', batch: byteBatch(BATCH) },
  'offloaded modules with an average': { spec: 'paper:4,offload=modules', average: true },
} satisfies Record<string, Subject>)) {
  test(`a step waits once and copies from pinned memory alone: ${name}`, async () => {
    const calls = await callsOf(subject)
    assert.is(calls.synchronisations, 1)
    assert.is(calls.pageableCopies, 0)
    assert.is(calls.unorderedUses, 0)
  })
}

test('a module that a script steps waits once too', async () => {
  await using model = await SwinTransformer.create({ ...TINY, device: 'cuda' })
  await using trainer = await createTrainer(model, parseRunSpec('paper:4'))
  const { labels, ...images } = floatBatch(BATCH)
  using features = await trainer.features(images)
  const before = simulation.calls() as simulation.DeviceCalls
  const step = await trainer.modules[0]?.step(features, labels)
  const after = simulation.calls() as simulation.DeviceCalls
  step?.features.dispose()
  assert.is(after.synchronisations - before.synchronisations, 1)
  assert.is(after.pageableCopies - before.pageableCopies, 0)
})

test('what is drawn for stochastic depth comes in one copy a module', async () => {
  const { pinnedCopies } = await callsOf({ spec: 'paper:4' })
  // Images and labels, four modules' coins, and at the end what was measured.
  assert.is(pinnedCopies, 2 + 4 + 1)
})

test('bytes are normalised and resized on the card', async () => {
  const batch = { ...byteBatch(BATCH, 0, 24), height: 24, width: 24 }
  const { bytesToDevice } = await callsOf({ spec: 'backprop', batch })
  const coins = 2 * 4 * BATCH * 4
  assert.is(bytesToDevice, BATCH * 3 * 24 * 24 + 8 * BATCH + 2 * 3 * 4 + coins)
})

// With stochastic depth and of bytes, which `compare --calls` is without.
for (const [spec, most] of Object.entries({
  backprop: 720,
  'backprop,dtype=bfloat16': 950,
  'paper:4': 970,
  'paper:4,dtype=bfloat16': 1_500,
  'backprop,recompute=selective': 1_880,
  'backprop,recompute=block': 2_400,
  'paper:4,split=balanced,recompute=selective': 2_850,
  'paper:4,split=balanced,recompute=block': 2_550,
})) {
  test(`launches and products of a step at 224 px, batch 128: ${spec}`, async () => {
    const { launches, products } = await callsOf({ spec, ...tinySwin(128) })
    assert.ok(launches + products <= most, `${launches} + ${products}`)
  })
}

/** Of timm's own end-to-end step on the same card, 3,704 MiB (`npm run bench:memory-peers`). */
async function shareOfTimm(run: string): Promise<number> {
  const { network, batch } = tinySwin(32)
  await using model = await SwinTransformer.create({ ...network, device: 'cuda' })
  await using trainer = await createTrainer(model, parseRunSpec(run), {}, 32)
  await trainer.step(batch)
  const { peakAllocatedBytes } = await trainer.step(batch)
  return peakAllocatedBytes / (3704 * 2 ** 20)
}

const MOST_OF_TIMM = {
  'backprop,recompute=selective': 0.365,
  'paper:2,split=balanced,recompute=selective': 0.25,
  'paper:4,split=balanced,recompute=selective': 0.2,
  'paper:4,split=balanced,recompute=block': 0.14,
}
for (const [run, most] of Object.entries(MOST_OF_TIMM)) {
  test(`${run} takes at most ${100 * most} % of what timm does at 224 px, batch 32`, async () => {
    const share = await shareOfTimm(run)
    assert.ok(share <= most, `${share}`)
  })
}

test('without recomputation it keeps what autograd keeps, timm within 2 %', async () => {
  const share = await shareOfTimm('backprop')
  assert.ok(share > 0.98 && share <= 1, `${share}`)
})

for (const dtype of DTYPES) {
  test(`chunks of what is computed again leave few holes: ${dtype}`, async () => {
    const { network, batch } = tinySwin(128)
    cuda.emptyCache()
    cuda.resetPeakMemoryStats()
    await using model = await SwinTransformer.create({ ...network, device: 'cuda' })
    const spec = `backprop,recompute=selective,dtype=${dtype}`
    await using trainer = await createTrainer(model, parseRunSpec(spec))
    await trainer.step(batch)
    const { peakAllocatedBytes } = await trainer.step(batch)
    const reserved = cuda.maxMemoryReserved()
    assert.ok(reserved < 1.1 * peakAllocatedBytes, `${reserved} of ${peakAllocatedBytes}`)
  })
}

test.run()

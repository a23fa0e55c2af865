// What a CUDA device shows that computes nothing: its memory, and what is done when it is full. The real
// device of test/gpu and the simulated one of test/simulated pass the same tests.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import * as cuda from '../../lib/device/cuda.js'
import * as memory from '../../lib/device/memory.js'
import { BackpropTrainer } from '../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import type { Trainer } from '../../lib/local/trainer.js'
import { summarizeSnapshot } from '../../lib/measure/snapshot-summary.js'
import { isShareOf, rejects } from './expect.js'
import { addsUp, documentIn, sameSegments, walksBack } from './snapshot-document.js'
import { floatBatch, TINY } from './tiny.js'

const ON_CUDA = { ...TINY, device: 'cuda' } as const
const BATCH = 32

/** @param count How many devices there are. */
export function testDevice(test: Test | Test['skip'], count: number): void {
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

  test('statistics, peaks and the cache are those of the device', async () => {
    // Its workspaces are taken with the first network, and stay.
    await (await SwinTransformer.create(ON_CUDA)).dispose()
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
      assert.match(cuda.memorySummary(), 'PyTorch CUDA memory summary, device ID 0')
    }
    assert.is(cuda.memoryAllocated(), before, 'disposing frees the device at once')
    assert.is(memory.allocated('cpu'), onCpu)
    const kept = cuda.memoryReserved()
    cuda.emptyCache()
    assert.ok(cuda.memoryReserved() < kept)
  })

  test('a record of memory adds up, with who asked for it, and changes nothing', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'localformer-device-history-'))
    const file = path.join(folder, 'cuda.pickle')
    const peaks = async () => {
      await using model = await SwinTransformer.create(ON_CUDA)
      await using trainer = await LocalTrainer.create(model, { modules: 2 })
      cuda.emptyCache()
      const steps = [await trainer.step(floatBatch(8)), await trainer.step(floatBatch(8, 1))]
      const snapshot = cuda.memorySnapshot()
      const written = await cuda.dumpSnapshot(file)
      const peak = (name: 'peakAllocatedBytes' | 'peakReservedBytes') =>
        steps.map((step) => step[name])
      return {
        ...{ snapshot, written, stats: cuda.memoryStats() },
        peaks: [...peak('peakAllocatedBytes'), ...peak('peakReservedBytes')],
      }
    }
    await peaks()
    const plain = await peaks()
    cuda.emptyCache()
    cuda.resetPeakMemoryStats()
    const before = cuda.memoryStats()
    cuda.recordMemoryHistory()
    const recorded = await peaks()
    assert.equal(recorded.peaks, plain.peaks)
    const document = documentIn(file)
    const [trace = []] = document.device_traces
    assert.equal(recorded.written, { events: trace.length, isComplete: true })
    addsUp(trace, before, recorded.stats)
    sameSegments(document, recorded.snapshot)
    walksBack(document)
    const places = new Set(
      trace.flatMap(({ frames }) =>
        frames.map(({ filename, name }) => `${filename}: ${name.split(':')[0]}`),
      ),
    )
    for (const phase of ['optimizer', 'forward', 'losses', 'backward']) {
      assert.ok(places.has(`module 1 (paper:2): ${phase}`), phase)
    }
    const summary = await summarizeSnapshot(file)
    assert.is(summary.devices[0]?.peakBytes, recorded.stats.requestedBytes.all.peak)
    cuda.recordMemoryHistory({ maxEntries: 50 })
    await peaks()
    assert.equal(await cuda.dumpSnapshot(file), { events: 50, isComplete: false })
    cuda.recordMemoryHistory({ enabled: false })
    assert.equal(await cuda.dumpSnapshot(file), { events: 0, isComplete: true })
    rmSync(folder, { recursive: true, force: true })
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
    // A little more than what is held now: the batch fits, what the first module makes of it does not.
    const limit = cuda.memoryReserved() + 2 ** 25
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
}

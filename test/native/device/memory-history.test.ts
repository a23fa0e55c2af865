// A record of the CPU's memory: every allocation with its free, sums that are the statistics, who asked for
// it, and nothing that is changed by it.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  LocalTrainer,
  memory,
  SwinTransformer,
  summarizeSnapshot,
  type Tensors,
} from '../../../lib/index.js'
import { loadTorch } from '../../../lib/native/load.js'
import { rejects, same } from '../../helpers/expect.js'
import {
  addsUp,
  documentIn,
  replay,
  sameSegments,
  walksBack,
} from '../../helpers/snapshot-document.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-history-'))
const file = path.join(folder, 'cpu.pickle')

test.after.each(() => {
  memory.recordMemoryHistory({ enabled: false })
  memory.setLimit(undefined)
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

test('every allocation, with sums that are the statistics, and segments that are the allocator’s', async () => {
  memory.emptyCache()
  memory.resetPeakStats()
  const before = memory.stats()
  memory.recordMemoryHistory()
  {
    await using model = await SwinTransformer.create(TINY)
    const trainer = await LocalTrainer.create(model, { modules: 2 })
    for (let k = 0; k < 2; k++) {
      await trainer.step(floatBatch(8, k))
      const { events, isComplete } = await memory.dumpSnapshot(file)
      assert.ok(isComplete)
      const document = documentIn(file)
      const [trace = []] = document.device_traces
      assert.is(trace.length, events)
      assert.equal(document.localformer, { schema: 1, is_complete: true })
      addsUp(trace, before, memory.stats())
      sameSegments(document, memory.snapshot())
      walksBack(document)
      // Every block that is live has the frames of its allocation.
      const { live } = replay(trace)
      const blocks = document.segments.flatMap((segment) => segment.blocks)
      for (const { address, state, requested_size: size, frames } of blocks) {
        if (!live.has(address)) continue
        assert.is(state, 'active_allocated')
        assert.is(size, live.get(address))
        assert.ok(frames.length > 0, `${size} bytes of nobody`)
      }
    }
  }
  memory.emptyCache()
  await memory.dumpSnapshot(file)
  walksBack(documentIn(file))
  const [trace = []] = documentIn(file).device_traces
  const { live, requested } = replay(trace)
  assert.is(live.size, 0, 'every allocation has its free')
  assert.is(requested, 0)
  assert.ok(trace.some(({ action }) => action === 'segment_unmap'))
})

test('module, phase and operator stand with each', async () => {
  memory.recordMemoryHistory()
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, { method: 'greedy', modules: 2 })
  await trainer.step(floatBatch(8))
  await trainer.evaluate(floatBatch(2))
  await memory.dumpSnapshot(file)
  const [trace = []] = documentIn(file).device_traces
  const names = new Set<string>()
  const places = new Set<string>()
  for (const { action, frames } of trace) {
    if (action !== 'alloc') continue
    assert.ok(frames.length > 0)
    for (const { filename, name } of frames) {
      names.add(name)
      places.add(`${filename}: ${name.split(':')[0]}`)
    }
  }
  for (const module of ['module 1 (greedy:2)', 'module 2 (greedy:2)']) {
    for (const phase of ['optimizer', 'forward', 'losses', 'backward', 'evaluation']) {
      assert.ok(places.has(`${module}: ${phase}`), `${module}: ${phase}`)
    }
  }
  assert.ok(places.has('network: weights'))
  assert.ok([...names].some((name) => /^backward: aten::/.test(name)))
  const { devices } = await summarizeSnapshot(file)
  const kinds = new Set(devices[0]?.groups.map(({ kind }) => kind))
  for (const kind of ['weights', 'optimizer', 'gradients', 'activations'] as const) {
    assert.ok(kinds.has(kind), kind)
  }
  assert.not.ok(kinds.has('unknown'))
})

test('the peak of the summary is that of the allocator', async () => {
  const resident = memory.stats().requestedBytes.all.current
  memory.resetPeakStats()
  memory.recordMemoryHistory()
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, { modules: 2 })
  for (let k = 0; k < 2; k++) await trainer.step(floatBatch(16, k))
  await memory.dumpSnapshot(file)
  const [device] = (await summarizeSnapshot(file)).devices
  assert.is(device?.peakBytes, memory.stats().requestedBytes.all.peak)
  assert.ok((device?.peakBytes ?? 0) > resident)
  const sum = device?.groups.reduce((bytes, group) => bytes + group.bytes, 0)
  assert.is(sum, device?.peakBytes)
})

async function trained(): Promise<{ weights: Tensors; peaks: readonly number[] }> {
  await using model = await SwinTransformer.create({ ...TINY, seed: 5 })
  await using trainer = await LocalTrainer.create(model, { modules: 2, seed: 5 })
  const peaks: number[] = []
  memory.emptyCache()
  for (let k = 0; k < 3; k++) {
    const { peakAllocatedBytes, peakReservedBytes } = await trainer.step(floatBatch(8, k))
    peaks.push(peakAllocatedBytes, peakReservedBytes)
  }
  return { weights: await model.readParameters(), peaks }
}

test('recording changes no bit and no peak', async () => {
  await trained()
  const plain = await trained()
  memory.recordMemoryHistory()
  const recorded = await trained()
  memory.recordMemoryHistory({ enabled: false })
  same(plain.weights, recorded.weights, 'weights')
  assert.equal(recorded.peaks, plain.peaks)
})

test('the last events are kept, and it is said that others were not', async () => {
  memory.recordMemoryHistory({ maxEntries: 100 })
  await trained()
  assert.equal(await memory.dumpSnapshot(file), { events: 100, isComplete: false })
  const document = documentIn(file)
  assert.is(document.device_traces[0]?.length, 100)
  assert.is(document.localformer.is_complete, false)
  assert.is((await summarizeSnapshot(file)).isComplete, false)
  // Recording anew forgets them; without a recording there is none.
  memory.recordMemoryHistory({ maxEntries: 100 })
  assert.equal(await memory.dumpSnapshot(file), { events: 0, isComplete: true })
  memory.recordMemoryHistory({ enabled: false })
  assert.equal(await memory.dumpSnapshot(file), { events: 0, isComplete: true })
  sameSegments(documentIn(file), memory.snapshot())
})

test('an allocation that fails while recording is an event, and nothing is lost', async () => {
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, { modules: 2 })
  await trainer.step(floatBatch(8))
  const before = memory.stats()
  let failed = 0
  for (let count = 1; count < 600; count += 23) {
    memory.recordMemoryHistory()
    loadTorch().failCpuAllocation(count)
    const isDone = await trainer.step(floatBatch(8)).then(
      () => true,
      () => false,
    )
    if (!isDone) failed += 1
    loadTorch().failCpuAllocation(0)
    await memory.dumpSnapshot(file)
    const [trace = []] = documentIn(file).device_traces
    const { live, requested } = replay(trace)
    assert.is(live.size, 0, `of ${count}`)
    assert.is(requested, 0)
    // There are not so many allocations in a step.
    const ooms = trace.filter(({ action }) => action === 'oom').length
    assert.is(ooms, isDone ? 0 : 1, `of ${count}`)
  }
  assert.ok(failed > 10)
  assert.is(memory.stats().requestedBytes.all.current, before.requestedBytes.all.current)
  memory.recordMemoryHistory()
  memory.setLimit(memory.allocated() + 1024)
  await rejects(() => trainer.step(floatBatch(64)), 'ERR_OUT_OF_MEMORY')
  memory.setLimit(undefined)
  await memory.dumpSnapshot(file)
  const oom = documentIn(file).device_traces[0]?.find(({ action }) => action === 'oom')
  assert.ok((oom?.size ?? 0) > (oom?.device_free ?? Number.POSITIVE_INFINITY))
  await trainer.step(floatBatch(8))
})

test('the file is whole or not there', async () => {
  memory.recordMemoryHistory()
  await using _ = await SwinTransformer.create(TINY)
  const inside = path.join(folder, 'inside')
  mkdirSync(path.join(inside, 'a folder'), { recursive: true })
  await rejects(() => memory.dumpSnapshot(path.join(inside, 'none', 'x')), 'ERR_CONFIG', 'open')
  await rejects(() => memory.dumpSnapshot(path.join(inside, 'a folder')), 'ERR_CONFIG', 'rename')
  assert.equal(readdirSync(inside), ['a folder'])
  const own = path.join(inside, 'own')
  writeFileSync(own, 'before')
  await memory.dumpSnapshot(own)
  assert.ok(documentIn(own).segments.length > 0)
  assert.equal(readdirSync(inside).sort(), ['a folder', 'own'])
})

test('arguments are checked', async () => {
  for (const maxEntries of [0, -1, 1.5, 1e9, '5' as unknown as number]) {
    await rejects(() => memory.recordMemoryHistory({ maxEntries }), 'ERR_CONFIG', '`maxEntries`')
  }
  await rejects(
    () => memory.recordMemoryHistory({ enabled: 1 as unknown as boolean }),
    'ERR_CONFIG',
    '`enabled`',
  )
  await rejects(() => memory.recordMemoryHistory({ max: 1 } as object), 'ERR_CONFIG', '"max"')
  await rejects(() => memory.recordMemoryHistory({}, 'gpu'), 'ERR_CONFIG', '`device`')
  for (const name of ['', 'a\0b', 5 as unknown as string]) {
    await rejects(() => memory.dumpSnapshot(name), 'ERR_CONFIG', '`file`')
  }
})

test.run()

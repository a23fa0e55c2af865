// Memory statistics: PyTorch's numbers under PyTorch's names, on the CPU too.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as cuda from '../../../lib/device/cuda.js'
import * as memory from '../../../lib/device/memory.js'
import { BackpropTrainer } from '../../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import type { Trainer } from '../../../lib/local/trainer.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost, rejects, same } from '../../helpers/expect.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const BATCH = 64

test.after.each(() => memory.setLimit(undefined))

/** What torch.cuda.memory_stats() of PyTorch 2.11 lists. */
function pytorchKeys(): string[] {
  const pooled = ['allocation', 'segment', 'active', 'inactive_split', 'requested_bytes']
  pooled.push('allocated_bytes', 'reserved_bytes', 'active_bytes', 'inactive_split_bytes')
  const values = ['current', 'peak', 'allocated', 'freed']
  return [
    ...pooled.flatMap((name) =>
      ['all', 'small_pool', 'large_pool'].flatMap((pool) =>
        values.map((value) => `${name}.${pool}.${value}`),
      ),
    ),
    ...['oversize_allocations', 'oversize_segments'].flatMap((name) =>
      values.map((value) => `${name}.${value}`),
    ),
    ...['num_alloc_retries', 'num_ooms', 'num_sync_all_streams'],
    ...['num_device_alloc', 'num_device_free', 'max_split_size'],
  ].sort()
}

test("flat statistics have PyTorch's keys, all whole numbers", () => {
  const flat = memory.stats('cpu').flat()
  assert.equal(Object.keys(flat).sort(), pytorchKeys())
  for (const [key, value] of Object.entries(flat)) assert.ok(Number.isInteger(value), key)
})

test('nested statistics are the flat ones in camelCase', async () => {
  await using model = await SwinTransformer.create(TINY)
  await model.predict(floatBatch(2))
  const { flat, ...nested } = memory.stats('cpu')
  const seen: Record<string, number> = {}
  const walk = (at: object, path: readonly string[]) => {
    for (const [key, value] of Object.entries(at)) {
      const name = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
      if (typeof value === 'number') seen[[...path, name].join('.')] = value
      else walk(value, [...path, name])
    }
  }
  walk(nested, [])
  assert.equal(Object.fromEntries(Object.entries(seen).sort()), flat())
  assert.is(nested.allocatedBytes.largePool.peak, flat()['allocated_bytes.large_pool.peak'])
  assert.ok(nested.allocatedBytes.all.current > 0)
})

test('the counters agree with each other', async () => {
  await using model = await SwinTransformer.create(TINY)
  const trainer = await LocalTrainer.create(model)
  await trainer.step(floatBatch(BATCH))
  const s = memory.stats()
  for (const stat of [
    s.allocatedBytes,
    s.reservedBytes,
    s.requestedBytes,
    s.allocation,
    s.segment,
  ]) {
    for (const pool of [stat.all, stat.smallPool, stat.largePool]) {
      assert.is(pool.current, pool.allocated - pool.freed)
      assert.ok(pool.peak >= pool.current)
    }
    assert.is(stat.all.current, stat.smallPool.current + stat.largePool.current)
  }
  assert.ok(s.requestedBytes.all.current <= s.allocatedBytes.all.current)
  assert.ok(s.allocatedBytes.all.current <= s.reservedBytes.all.current)
  assert.is(memory.allocated(), s.allocatedBytes.all.current)
  assert.is(memory.maxAllocated(), s.allocatedBytes.all.peak)
  assert.is(memory.reserved(), s.reservedBytes.all.current)
  assert.is(memory.maxReserved(), s.reservedBytes.all.peak)
})

test('live weights are counted to the byte, up to rounding to 512', async () => {
  const before = memory.stats().requestedBytes.all.current
  await using model = await SwinTransformer.create(TINY)
  const buffers = memory.stats().requestedBytes.all.current - before - 4 * model.parameterCount
  // Beside the weights a block holds an index of its window's pairs (int64) and a mask: few here.
  assert.ok(buffers >= 0)
  atMost(buffers, 0.1 * 4 * model.parameterCount, 'buffers')
})

test('resetting peaks starts them at the current values', async () => {
  await using model = await SwinTransformer.create(TINY)
  const trainer = await LocalTrainer.create(model)
  await trainer.step(floatBatch(BATCH))
  assert.ok(memory.maxAllocated() > memory.allocated())
  memory.resetPeakStats()
  assert.is(memory.maxAllocated(), memory.allocated())
  assert.is(memory.maxReserved(), memory.reserved())
  const { peakAllocatedBytes, peakReservedBytes } = await trainer.step(floatBatch(BATCH))
  assert.is(memory.maxAllocated(), peakAllocatedBytes, 'the peak since then is the step')
  assert.is(memory.maxReserved(), peakReservedBytes)
})

test("a step measures its own peak, whatever the user's peaks are", async () => {
  await using model = await SwinTransformer.create(TINY)
  const trainer = await LocalTrainer.create(model)
  await trainer.step(floatBatch(2 * BATCH))
  const before = memory.maxAllocated()
  const small = await trainer.step(floatBatch(2))
  assert.ok(small.peakAllocatedBytes < before)
  assert.is(memory.maxAllocated(), before, 'and leaves them alone')
})

test('resetting accumulated counters starts them at 0', async () => {
  await using model = await SwinTransformer.create(TINY)
  assert.ok(memory.stats().allocation.all.allocated > 0)
  memory.resetAccumulatedStats()
  const s = memory.stats()
  assert.is(s.allocation.all.allocated, 0)
  assert.is(s.allocation.all.freed, 0)
  assert.ok(s.allocation.all.current > 0, 'the current ones stay')
  assert.not.ok(model.disposed)
})

test('emptying the cache gives back all that is not live', async () => {
  await using model = await SwinTransformer.create(TINY)
  const trainer = await LocalTrainer.create(model)
  await trainer.step(floatBatch(2 * BATCH))
  const allocated = memory.allocated()
  const kept = memory.reserved()
  memory.emptyCache()
  const s = memory.stats()
  assert.is(s.allocatedBytes.all.current, allocated)
  assert.ok(s.reservedBytes.all.current < kept)
  const stuck = s.inactiveSplitBytes.all.current
  assert.is(s.reservedBytes.all.current, allocated + stuck, 'left are live blocks and page ends')
  // Each run of blocks may share its first and last page with what is not live.
  atMost(stuck, 2 * 4096 * s.allocation.all.current, 'page ends')
  await trainer.step(floatBatch(BATCH))
})

test('the snapshot adds up to the statistics', async () => {
  await using model = await SwinTransformer.create(TINY)
  const trainer = await LocalTrainer.create(model)
  await trainer.step(floatBatch(BATCH))
  const segments = memory.snapshot()
  const s = memory.stats()
  const total = (of: (segment: memory.MemorySegment) => number) =>
    segments.reduce((sum, segment) => sum + of(segment), 0)
  assert.is(
    total((segment) => segment.totalSize),
    s.reservedBytes.all.current,
  )
  assert.is(
    total((segment) => segment.allocatedSize),
    s.allocatedBytes.all.current,
  )
  assert.is(segments.length, s.segment.all.current)
  assert.is(
    segments.filter((segment) => segment.segmentType === 'large').length,
    s.segment.largePool.current,
  )
  const live = segments.flatMap((segment) =>
    segment.blocks.filter((block) => block.state === 'active_allocated'),
  )
  assert.is(live.length, s.allocation.all.current)
  assert.is(
    live.reduce((sum, block) => sum + block.requestedSize, 0),
    s.requestedBytes.all.current,
  )
  for (const segment of segments) {
    const blocks = segment.blocks.reduce((sum, block) => sum + block.size, 0)
    assert.is(blocks, segment.totalSize, 'blocks fill their segment')
  }
})

test('reserved stays within 1.25 of the highest allocated', async () => {
  await using model = await SwinTransformer.create({ ...TINY, embedDim: 32 })
  const trainer = await LocalTrainer.create(model)
  memory.emptyCache()
  memory.resetPeakStats()
  // Changing batches make blocks of many sizes.
  for (const count of [32, 48, 17, 64, 33, 64]) await trainer.step(floatBatch(count))
  atMost(memory.maxReserved(), 1.25 * memory.maxAllocated(), 'reserved at its peak')
})

for (const [name, create, count, wanted] of [
  // With few images the gradients of the weights, in the backward phase, make the peak.
  ['backprop', (m: SwinTransformer) => BackpropTrainer.create(m), 32, ['forward', 'backward']],
  ['paper:4', (m: SwinTransformer) => LocalTrainer.create(m), 64, ['forward', 'losses']],
] as const) {
  test(`${name}: a step above the limit fails, frees everything and changes nothing`, async () => {
    const train = async (interrupt: (trainer: Trainer, step: number) => Promise<void>) => {
      await using model = await SwinTransformer.create(TINY)
      const trainer = await create(model)
      for (let step = 0; step < 3; step++) {
        await interrupt(trainer, step)
        await trainer.step(floatBatch(count, step))
      }
      return model.readParameters()
    }
    let firstPeak = 0
    const undisturbed = await train(async (trainer, step) => {
      if (step !== 2) return
      const { modules, peakAllocatedBytes } = await trainer.step(floatBatch(count), {
        learningRate: 0,
      })
      firstPeak = modules[0]?.peakAllocatedBytes as number
      assert.is(firstPeak, peakAllocatedBytes, 'the first module takes most')
    })
    const phases = new Set<unknown>()
    const limited = await train(async (trainer, step) => {
      const resident = memory.allocated()
      // The other run stepped once more at this point, with a learning rate of 0.
      if (step === 2) await trainer.step(floatBatch(count), { learningRate: 0 })
      for (const share of [0.3, 0.6, 0.8, 0.9, 0.99]) {
        const limit = Math.floor(resident + share * (firstPeak - resident))
        memory.emptyCache()
        memory.setLimit(limit)
        const ooms = memory.stats().numOoms
        const error = await rejects(
          () => trainer.step(floatBatch(count, step)),
          'ERR_OUT_OF_MEMORY',
          'module 1',
          'MiB',
        )
        const { requestedBytes, allocatedBytes, reservedBytes, limitBytes } = error as unknown as {
          [name: string]: number
        }
        assert.ok((requestedBytes as number) > 0, `requestedBytes ${requestedBytes}`)
        assert.is(limitBytes, limit)
        atMost(allocatedBytes as number, limit, 'allocatedBytes')
        atMost(reservedBytes as number, limit, 'reservedBytes')
        atMost(resident, allocatedBytes as number, 'what was resident, against allocatedBytes')
        assert.is(error.module, 'module 1')
        assert.match(error.message, `in the ${error.phase} phase of module 1`)
        assert.ok(error.hint, 'it says what to do')
        phases.add(error.phase)
        assert.is(memory.stats().numOoms, ooms + 1)
        assert.is(memory.allocated(), resident, 'all that the step took is freed')
      }
      memory.setLimit(undefined)
    })
    for (const phase of wanted) assert.ok(phases.has(phase), `${phase} is in ${[...phases]}`)
    same(undisturbed, limited, 'weights after training on')
  })
}

test('making or asking a network above the limit says how much was wanted', async () => {
  const used = memory.allocated()
  memory.emptyCache()
  memory.setLimit(used + 300_000)
  const made = await rejects(() => SwinTransformer.create(TINY), 'ERR_OUT_OF_MEMORY')
  assert.ok((made.requestedBytes as number) > 0, `requestedBytes ${made.requestedBytes}`)
  assert.is(made.limitBytes, used + 300_000)
  assert.is(memory.allocated(), used)
  memory.setLimit(undefined)

  await using model = await SwinTransformer.create(TINY)
  await using small = await LocalTrainer.create(model)
  const resident = memory.allocated()
  memory.emptyCache()
  memory.setLimit(resident + 100_000)
  for (const [what, call] of [
    ['predict', () => model.predict(floatBatch(BATCH))],
    ['gradients', () => model.gradients(floatBatch(BATCH))],
    ['evaluate', () => small.evaluate(floatBatch(BATCH))],
    ['a trainer', () => LocalTrainer.create(model)],
  ] as const) {
    const error = await rejects(call, 'ERR_OUT_OF_MEMORY')
    assert.ok((error.requestedBytes as number) > 0, `${what}: ${error.requestedBytes}`)
    assert.is(memory.allocated(), resident, what)
  }
  memory.setLimit(undefined)
  assert.equal((await model.predict(floatBatch(2))).shape, [2, TINY.classes])
})

test('gradients that ran out of memory leave none behind', async () => {
  await using model = await SwinTransformer.create(TINY)
  const wanted = (await model.gradients(floatBatch(BATCH))).gradients
  const resident = memory.allocated()
  memory.resetPeakStats()
  await model.gradients(floatBatch(BATCH))
  const peak = memory.maxAllocated()
  let failed = 0
  for (const share of [0.5, 0.8, 0.9, 0.95, 0.99]) {
    memory.emptyCache()
    memory.setLimit(Math.floor(resident + share * (peak - resident)))
    await rejects(() => model.gradients(floatBatch(BATCH)), 'ERR_OUT_OF_MEMORY')
    failed += 1
    assert.is(memory.allocated(), resident)
  }
  memory.setLimit(undefined)
  assert.is(failed, 5)
  const { gradients } = await model.gradients(floatBatch(BATCH))
  same(wanted, gradients, 'nothing adds up with what was left')
})

test('the limit bounds what info() tells, and is checked', async () => {
  const free = memory.info()
  assert.ok(free.totalBytes > 0 && free.freeBytes > 0 && free.freeBytes <= free.totalBytes)
  const limit = memory.reserved() + 2 ** 30
  memory.setLimit(limit)
  assert.is(memory.info().totalBytes, limit)
  assert.ok(memory.info().freeBytes <= 2 ** 30)
  memory.setLimit(0)
  assert.is(memory.info().totalBytes, free.totalBytes, '0 removes it')
  memory.setLimit('64 GiB')
  assert.is(memory.info().totalBytes, 64 * 2 ** 30, 'as text')
  memory.setLimit(undefined)
  for (const bytes of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1 GiBi', {} as string]) {
    await rejects(() => memory.setLimit(bytes), 'ERR_CONFIG', 'a size such as 4GiB for `bytes`')
  }
  await rejects(() => memory.setLimit(1, 'cuda:999'), 'ERR_DEVICE_UNAVAILABLE')
})

test('the summary is the table that PyTorch prints', async () => {
  await using model = await SwinTransformer.create(TINY)
  const text = memory.summary('cpu')
  const lines = text.split('\n')
  assert.ok(
    lines.slice(0, -1).every((line) => line.length === 77 && /^\|.*\|$/.test(line)),
    text,
  )
  const s = memory.stats()
  const row = (title: string) =>
    lines
      .find((line) => line.startsWith(`| ${title}`))
      ?.split('|')
      .slice(2, -1)
      .map((cell) => Number(cell.trim().split(' ')[0]))
  const { current, peak, allocated, freed } = s.allocation.all
  assert.equal(row('Allocations'), [current, peak, allocated, freed])
  assert.ok((row('Allocated memory')?.[0] ?? 0) > 0)
  for (const title of ['Reserved memory', 'Reserved segments', 'Oversize segments']) {
    assert.ok(row(title), title)
  }
  assert.match(text, `OOMs: ${s.numOoms} `)
  assert.match(text, `retries: ${s.numAllocRetries} `)
  assert.not.ok(model.disposed)
})

test('device names are checked', async () => {
  for (const name of ['gpu', 'cuda:', 'cuda:-1', 'cuda:x', 'CPU', '', 'cpu ', 'mps', 0, null, {}]) {
    const device = name as string
    for (const call of [
      () => memory.stats(device),
      () => memory.allocated(device),
      () => memory.emptyCache(device),
      () => memory.resetPeakStats(device),
      () => memory.info(device),
      () => memory.summary(device),
      () => SwinTransformer.create({ ...TINY, device: device as 'cpu' }),
    ]) {
      await rejects(call, 'ERR_CONFIG', 'cpu, cuda, cuda:N, auto or a simulated card', /`device`/)
    }
  }
})

const noCuda = cuda.isAvailable() ? test.skip : test
if (cuda.isAvailable()) console.log('SKIP: there is a CUDA device, so nothing can say that none is')

noCuda('without CUDA, isAvailable is false and deviceCount 0', () => {
  assert.is(cuda.isAvailable(), false)
  assert.is(cuda.deviceCount(), 0)
})

for (const [name, call] of [
  ['getDeviceProperties', () => cuda.getDeviceProperties()],
  ['synchronize', () => cuda.synchronize()],
  ['memoryAllocated', () => cuda.memoryAllocated()],
  ['maxMemoryAllocated', () => cuda.maxMemoryAllocated()],
  ['memoryReserved', () => cuda.memoryReserved()],
  ['maxMemoryReserved', () => cuda.maxMemoryReserved()],
  ['resetPeakMemoryStats', () => cuda.resetPeakMemoryStats()],
  ['resetAccumulatedMemoryStats', () => cuda.resetAccumulatedMemoryStats()],
  ['memoryStats', () => cuda.memoryStats()],
  ['memorySummary', () => cuda.memorySummary()],
  ['memGetInfo', () => cuda.memGetInfo()],
  ['emptyCache', () => cuda.emptyCache()],
  ['setPerProcessMemoryFraction', () => cuda.setPerProcessMemoryFraction(0.5)],
  ['memorySnapshot', () => cuda.memorySnapshot()],
  ['recordMemoryHistory', () => cuda.recordMemoryHistory()],
  ['dumpSnapshot', () => cuda.dumpSnapshot('none')],
  ['memory.stats', () => memory.stats('cuda')],
  ['SwinTransformer.create', () => SwinTransformer.create({ ...TINY, device: 'cuda:0' })],
] as const) {
  noCuda(`without CUDA, ${name} says what was looked for`, async () => {
    await rejects(call, 'ERR_DEVICE_UNAVAILABLE', 'cuda', /looked for|no CUDA support|driver/)
  })
}

noCuda('without CUDA, auto takes the CPU and says why', async () => {
  await using model = await SwinTransformer.create({ ...TINY, device: 'auto' })
  assert.is(model.device, 'cpu')
  assert.match(model.deviceReason, /no CUDA device \(.+\)/)
})

test('cuda checks its arguments', async () => {
  for (const index of [-1, 0.5, Number.NaN, '0' as unknown as number]) {
    await rejects(() => cuda.memoryAllocated(index), 'ERR_CONFIG', '`index`')
  }
  for (const fraction of [-0.1, 1.1, Number.NaN]) {
    await rejects(() => cuda.setPerProcessMemoryFraction(fraction), 'ERR_CONFIG', '`fraction`')
  }
})

test.run()

// The memory timeline of a step: what it says agrees with the peaks, and it changes none of them.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BackpropTrainer,
  LocalTrainer,
  type MemoryPoint,
  SwinTransformer,
  type Trainer,
} from '../../../lib/index.js'
import { byteBatch, TINY } from '../../helpers/tiny.js'

const BATCH = byteBatch(32)

async function withTrainer<T>(
  create: (model: SwinTransformer) => Promise<Trainer>,
  use: (trainer: Trainer) => Promise<T>,
): Promise<T> {
  await using model = await SwinTransformer.create({ ...TINY, dropPath: 0.2 })
  await using trainer = await create(model)
  await trainer.step(BATCH)
  return await use(trainer)
}

const local = (model: SwinTransformer) => LocalTrainer.create(model, { modules: 4 })
const backprop = (model: SwinTransformer) => BackpropTrainer.create(model)

const highest = (points: readonly MemoryPoint[]) =>
  Math.max(...points.map(({ allocatedBytes }) => allocatedBytes))

/** `0 forward`, ... without repetitions. */
function phasesOf(points: readonly MemoryPoint[]): string[] {
  const all = points.map(({ module, phase }) => `${module} ${phase}`)
  return all.filter((name, i) => name !== all[i - 1])
}

test('there is none unless it is asked for', async () => {
  const step = await withTrainer(local, (trainer) => trainer.step(BATCH))
  assert.is(step.timeline, undefined)
})

test('a local step goes through the phases of one module after the other', async () => {
  const { timeline = [] } = await withTrainer(local, (t) => t.step(BATCH, { timeline: true }))
  const phases = ['forward', 'losses', 'backward', 'update']
  assert.equal(
    phasesOf(timeline),
    [0, 1, 2, 3].flatMap((module) => phases.map((phase) => `${module} ${phase}`)),
  )
})

test('end to end there is one module', async () => {
  const { timeline = [] } = await withTrainer(backprop, (t) => t.step(BATCH, { timeline: true }))
  assert.equal(phasesOf(timeline), ['0 forward', '0 losses', '0 backward', '0 update'])
  // Activations pile up to the end of the forward pass and are freed in the backward pass.
  const forward = timeline.filter(({ phase }) => phase === 'forward')
  const backward = timeline.filter(({ phase }) => phase === 'backward')
  const rise = highest(forward) - (forward[0]?.allocatedBytes ?? 0)
  assert.ok(rise > 5e6, `${rise}`)
  assert.ok((backward.at(-1)?.allocatedBytes ?? 9e9) < highest(forward) - rise / 2)
})

for (const [name, create] of Object.entries({ local, backprop })) {
  test(`${name}: its highest points are the peaks, of the step and of every module`, async () => {
    const step = await withTrainer(create, (t) => t.step(BATCH, { timeline: true }))
    const { timeline = [] } = step
    assert.is(highest(timeline), step.peakAllocatedBytes)
    step.modules.forEach(({ peakAllocatedBytes, learned }, k) => {
      assert.ok(learned)
      const own = timeline.filter(({ module }) => module === k)
      assert.is(highest(own), peakAllocatedBytes, `module ${k}`)
    })
  })
}

test('recording changes neither peaks nor losses', async () => {
  const run = (timeline: boolean) =>
    withTrainer(local, async (trainer) => {
      const steps = []
      for (let i = 0; i < 3; i++) steps.push(await trainer.step(BATCH, { timeline }))
      return steps.map(({ modules, peakAllocatedBytes }) => ({
        peakAllocatedBytes,
        modules: modules.map(({ seconds: _, ...rest }) => rest),
      }))
    })
  assert.equal(await run(true), await run(false))
})

test('time rises, the number of points is bounded', async () => {
  // Chunks of one sample allocate many times more often than there are points.
  const many = (model: SwinTransformer) =>
    LocalTrainer.create(model, { modules: 4, chunkSize: 1, recompute: 'block' })
  const {
    timeline = [],
    seconds,
    peakAllocatedBytes,
  } = await withTrainer(many, (trainer) => trainer.step(byteBatch(64), { timeline: true }))
  assert.ok(timeline.length > 500 && timeline.length <= 1024, `${timeline.length} points`)
  assert.is(highest(timeline), peakAllocatedBytes)
  timeline.reduce((before, point) => {
    assert.ok(point.seconds >= before.seconds)
    return point
  })
  assert.ok((timeline.at(-1)?.seconds ?? 9e9) <= seconds)
})

test('a module that only passes features on is in the forward phase', async () => {
  const { timeline = [] } = await withTrainer(local, async (trainer) => {
    trainer.modules[0]?.freeze()
    return trainer.step(BATCH, { timeline: true })
  })
  assert.equal(phasesOf(timeline).slice(0, 2), ['0 forward', '1 forward'])
})

test('anything but true or false is refused', async () => {
  await withTrainer(local, async (trainer) => {
    try {
      await trainer.step(BATCH, { timeline: 'yes' as never })
      assert.unreachable()
    } catch (error) {
      assert.is((error as { code: string }).code, 'ERR_CONFIG')
      assert.match((error as Error).message, 'for `timeline` but received "yes"')
    }
  })
})

test.run()

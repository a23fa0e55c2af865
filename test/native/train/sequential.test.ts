// Modules that do not all learn alike: one after the other, frozen, with rates and optimizers of
// their own.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import * as memory from '../../../lib/device/memory.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { loadTorch } from '../../../lib/native/load.js'
import type { TrainEvent } from '../../../lib/train/events.js'
import type { TrainOptions } from '../../../lib/train/options.js'
import { train } from '../../../lib/train/train.js'
import { atMost, changed, rejects, same } from '../../helpers/expect.js'
import { TEST_DEVICE } from '../../helpers/test-device.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const data = syntheticDataset({ trainCount: 48, testCount: 16 })
/** Three steps an epoch, whose first has a learning rate above 0. */
const LOOP = { batchSize: 16, testLimit: 0, warmup: 0 } as const satisfies TrainOptions
const SEQUENTIAL = { ...LOOP, schedule: 'sequential' } as const satisfies TrainOptions
const MODULES = [0, 1, 2, 3]

type StepEvent = TrainEvent & { type: 'step' }
type EpochEvent = TrainEvent & { type: 'epoch' }

async function create(options: LocalOptions = {}) {
  const model = await SwinTransformer.create({ ...TINY, device: TEST_DEVICE })
  return { model, trainer: await LocalTrainer.create(model, { modules: 4, ...options }) }
}

/** Every learned value of the network and of its auxiliary parts. */
async function weights(trainer: LocalTrainer) {
  return { ...(await trainer.model.readParameters()), ...(await trainer.readAuxiliary()) }
}

/** Which module a parameter belongs to. */
function owner(trainer: LocalTrainer, parameter: string): number {
  const auxiliary = /^auxiliary\.(\d+)\./.exec(parameter)
  if (auxiliary) return Number(auxiliary[1])
  const units = trainer.model.units.map((unit) => unit.name)
  const unit = units.find((name) => parameter.startsWith(`${name}.`)) ?? 'classifier'
  return trainer.modules.findIndex((module) => module.units.includes(unit))
}

function ownersOf(trainer: LocalTrainer, parameters: readonly string[]): number[] {
  return [...new Set(parameters.map((name) => owner(trainer, name)))].sort()
}

async function collect(trainer: LocalTrainer, options: TrainOptions): Promise<TrainEvent[]> {
  const events: TrainEvent[] = []
  for await (const event of train(trainer, data, options)) events.push(event)
  return events
}

const stepsOf = (events: readonly TrainEvent[]) =>
  events.filter((event): event is StepEvent => event.type === 'step')

test('a module whose turn is over passes on what its averaged weights make', async () => {
  const { model, trainer } = await create()
  for await (const event of train(trainer, data, { ...SEQUENTIAL, ema: 0.5 })) {
    if (event.type !== 'step') continue
    const differing = ownersOf(
      trainer,
      changed(await weights(trainer), await trainer.readAverage()),
    )
    assert.equal(differing, [event.activeModule], `step ${event.step}`)
  }
  const differing = changed(await weights(trainer), await trainer.readAverage())
  assert.equal(ownersOf(trainer, differing), [3], 'the classifier has no module behind it')
  model.dispose()
})

test('while a module is active its weights alone change', async () => {
  const { model, trainer } = await create()
  let before = await weights(trainer)
  const moved: [number | null, number[]][] = []
  for await (const event of train(trainer, data, SEQUENTIAL)) {
    if (event.type !== 'step') continue
    const after = await weights(trainer)
    moved.push([event.activeModule, ownersOf(trainer, changed(before, after))])
    before = after
  }
  assert.equal(
    moved,
    MODULES.flatMap((k) => [0, 1, 2].map(() => [k, [k]])),
  )
  model.dispose()
})

test('events count over all modules and list those that ran', async () => {
  const { model, trainer } = await create()
  const events = await collect(trainer, { ...SEQUENTIAL, epochs: 2, testLimit: 8 })
  const steps = stepsOf(events)
  assert.equal(
    steps.map(({ step }) => step),
    Array.from({ length: 24 }, (_, i) => i + 1),
  )
  for (const { activeModule, totalSteps, modules } of steps) {
    assert.is(totalSteps, 24)
    const learned = modules.map((module) => module.learned)
    assert.equal(
      learned,
      learned.map((_, k) => k === activeModule),
    )
    assert.is(modules.length, (activeModule as number) + 1)
  }
  const epochs = events.filter((event): event is EpochEvent => event.type === 'epoch')
  assert.equal(
    epochs.map(({ epoch, epochs, activeModule, modules }) => ({
      ...{ epoch, epochs, activeModule, ran: modules.length },
    })),
    [0, 0, 1, 1, 2, 2, 3, 3].map((k, i) => ({
      ...{ epoch: i + 1, epochs: 8, activeModule: k, ran: k + 1 },
    })),
  )
  assert.is(events.filter(({ type }) => type === 'evaluation').length, 8)
  const done = events.at(-1)
  assert.is(done?.type === 'done' && done.steps, 24)
  model.dispose()
})

test('the learning rate rises and falls for each module anew', async () => {
  const { model, trainer } = await create()
  const learningRate = [4e-3, 3e-3, 2e-3, 1e-3]
  const events = await collect(trainer, { ...SEQUENTIAL, epochs: 2, warmup: 0.3, learningRate })
  const rates = stepsOf(events).map((event) => event.learningRate)
  const first = rates.slice(0, 6)
  assert.is(Math.max(...first), 4e-3)
  assert.is(first[0], 2e-3)
  for (const k of MODULES) {
    for (const [i, rate] of rates.slice(6 * k, 6 * k + 6).entries()) {
      const expected = ((first[i] as number) * (4 - k)) / 4
      atMost(Math.abs(rate - expected), 1e-12, `rate ${i} of module ${k + 1}`)
    }
  }
  model.dispose()
})

test('the first module learns as it does together with the others, bit for bit', async () => {
  const [one, other] = [await create(), await create()]
  await collect(one.trainer, { ...LOOP, epochs: 2 })
  await collect(other.trainer, { ...SEQUENTIAL, epochs: 2 })
  const [together, sequential] = [await weights(one.trainer), await weights(other.trainer)]
  const differing = ownersOf(one.trainer, changed(together, sequential))
  assert.equal(differing, [1, 2, 3])
  one.model.dispose()
  other.model.dispose()
})

test('the optimizer of the active module alone is in memory', async () => {
  const { model, trainer } = await create({ decoder: 'conv', decoderHidden: 16 })
  const together = memory.allocated(TEST_DEVICE)
  /** AdamW keeps two values a weight. */
  const stateBytes = trainer.modules.map(
    (module) => 8 * (module.parameterCount + module.auxiliaryParameterCount),
  )
  const all = stateBytes.reduce((sum, bytes) => sum + bytes)
  for await (const event of train(trainer, data, SEQUENTIAL)) {
    if (event.type !== 'step') continue
    const others = all - (stateBytes[event.activeModule as number] as number)
    const saved = together - memory.allocated(TEST_DEVICE)
    atMost(others, saved, `saved while module ${event.activeModule} is active`)
    atMost(saved, 1.25 * others, 'and little more, for what blocks are rounded up to')
  }
  atMost(all, together - memory.allocated(TEST_DEVICE), 'saved when all are done')
  // The next step makes them anew.
  await trainer.step(floatBatch(2))
  assert.is(memory.allocated(TEST_DEVICE), together)
  model.dispose()
})

test('maxSteps ends each module, a signal the run between two steps', async () => {
  const { model, trainer } = await create()
  const events = stepsOf(await collect(trainer, { ...SEQUENTIAL, epochs: 9, maxSteps: 2 }))
  assert.equal(
    events.map(({ activeModule }) => activeModule),
    [0, 0, 1, 1, 2, 2, 3, 3],
  )
  const controller = new AbortController()
  let steps = 0
  const run = async () => {
    for await (const event of train(trainer, data, { ...SEQUENTIAL, signal: controller.signal })) {
      if (event.type !== 'step') continue
      steps++
      if (event.activeModule === 1) controller.abort(new Error('enough'))
    }
  }
  let reason: unknown
  await run().catch((error: unknown) => {
    reason = error
  })
  assert.is((reason as Error).message, 'enough')
  assert.is(steps, 4)
  await trainer.step(floatBatch(2))
  model.dispose()
})

test('a frozen module keeps its weights and says so, and in sequence it has no turn', async () => {
  const { model, trainer } = await create()
  trainer.modules[1]?.freeze()
  for (const [loop, active] of [
    [LOOP, [null, null, null]],
    [SEQUENTIAL, [0, 0, 0, 2, 2, 2, 3, 3, 3]],
  ] as const) {
    const before = await weights(trainer)
    const steps = stepsOf(await collect(trainer, loop))
    assert.equal(ownersOf(trainer, changed(before, await weights(trainer))), [0, 2, 3])
    assert.equal(
      steps.map(({ activeModule }) => activeModule),
      active,
    )
    for (const { modules, totalSteps } of steps) {
      assert.is(modules[1]?.learned ?? false, false)
      assert.is(totalSteps, active.length)
    }
  }
  trainer.modules[1]?.unfreeze()
  const before = await weights(trainer)
  await collect(trainer, LOOP)
  assert.equal(ownersOf(trainer, changed(before, await weights(trainer))), MODULES)
  model.dispose()
})

test('each module has its rate of a list: that of 0 leaves its weights', async () => {
  const [one, other] = [await create(), await create()]
  const before = await weights(one.trainer)
  await collect(one.trainer, { ...LOOP, learningRate: [1e-3, 1e-3, 0, 1e-3] })
  const after = await weights(one.trainer)
  assert.equal(ownersOf(one.trainer, changed(before, after)), [0, 1, 3])
  // A list of one rate is that rate.
  await collect(other.trainer, { ...LOOP, learningRate: 1e-3 })
  const differing = changed(after, await weights(other.trainer))
  assert.equal(ownersOf(one.trainer, differing), [2, 3])
  one.model.dispose()
  other.model.dispose()
})

test('a module of its own optimizer differs, the modules before it do not', async () => {
  const [one, other] = [await create(), await create({ perModule: [null, { optimizer: 'sgd' }] })]
  assert.equal(
    other.trainer.modules.map(({ optimizer }) => optimizer.name),
    ['AdamW', 'SGD', 'AdamW', 'AdamW'],
  )
  await collect(one.trainer, LOOP)
  await collect(other.trainer, LOOP)
  const differing = changed(await weights(one.trainer), await weights(other.trainer))
  assert.equal(ownersOf(one.trainer, differing), [1, 2, 3])
  one.model.dispose()
  other.model.dispose()
})

test("SGD's update is Nesterov's", async () => {
  const [rate, momentum, weightDecay, name] = [0.05, 0.9, 0.1, 'head.fc.weight']
  const { model, trainer } = await create({
    ...{ modules: 1, perModule: [{ optimizer: 'sgd', momentum, weightDecay }] },
  })
  const read = async () => (await model.readParameters())[name]?.data as Float32Array
  let velocity = new Float64Array((await read()).length)
  for (let step = 0; step < 3; step++) {
    const batch = floatBatch(4, step)
    const before = await read()
    const { gradients } = await model.gradients(batch)
    const decayed = before.map((w, i) => (gradients[name]?.data[i] as number) + weightDecay * w)
    velocity = velocity.map((v, i) => momentum * v + (decayed[i] as number))
    await trainer.step(batch, { learningRate: rate })
    for (const [i, weight] of (await read()).entries()) {
      const direction = (decayed[i] as number) + momentum * (velocity[i] as number)
      const expected = (before[i] as number) - rate * direction
      if (Math.abs(weight - expected) > 1e-6) assert.is(weight, expected, `step ${step}, ${i}`)
    }
  }
  model.dispose()
})

test('a schedule or rates that cannot be are told before anything runs', async () => {
  const { model, trainer } = await create()
  const before = await weights(trainer)
  const wrong: readonly [object, string][] = [
    [{ schedule: 'parallel' }, 'one of together, sequential'],
    [{ learningRate: [1e-3, 1e-3, 1e-3, 1e-3, 1e-3] }, 'a list of 4'],
    [{ learningRate: [1e-3] }, 'a list of 4'],
    [{ learningRate: [1e-3, -1, 1e-3, 1e-3] }, 'a number of at least 0'],
    [{ learningRate: -1 }, 'a number of at least 0'],
    [{ learningRate: [1e-3, null, 1e-3, 1e-3] }, 'a number of at least 0'],
  ]
  for (const [options, part] of wrong) {
    for (const loop of [LOOP, SEQUENTIAL]) {
      await rejects(() => collect(trainer, { ...loop, ...options }), 'ERR_CONFIG', part)
    }
  }
  same(before, await weights(trainer), 'weights')
  await rejects(() => trainer.step(floatBatch(2), { learningRate: [1, 1, 1, 1, 1] }), 'ERR_CONFIG')
  await rejects(() => trainer.step(floatBatch(2), { learningRate: [1, -1] }), 'ERR_CONFIG')
  model.dispose()
})

test.run()

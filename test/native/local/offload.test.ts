// What waits in host memory changes where values are, and no value.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as memory from '../../../lib/device/memory.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { predictTransfers } from '../../../lib/local/offload.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer, type Tensors } from '../../../lib/local/swin-transformer.js'
import type { StepOptions } from '../../../lib/local/trainer.js'
import { LOCAL_METHODS, type Offload } from '../../../lib/local/words.js'
import { loadTorch } from '../../../lib/native/load.js'
import { rejects } from '../../helpers/expect.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const COUNT = 4
const KINDS = ['optimizer', 'modules'] as const

/** Stochastic depth, so that random numbers count too. */
const NETWORK = { ...TINY, dropPath: 0.2 }

interface Subject {
  readonly model: SwinTransformer
  readonly trainer: LocalTrainer
}

async function create(options: LocalOptions): Promise<Subject> {
  const model = await SwinTransformer.create(NETWORK)
  return { model, trainer: await LocalTrainer.create(model, options) }
}

/** Weights, averages, moments and random numbers. */
async function valuesOf({ model, trainer }: Subject): Promise<Tensors> {
  const { tensors, generator } = await trainer.readState()
  const bytes = Float32Array.from(generator)
  return {
    ...(await model.readParameters()),
    ...(await trainer.readAuxiliary()),
    ...tensors,
    generator: { shape: [bytes.length], data: bytes },
  }
}

interface Course {
  readonly steps?: number
  readonly ema?: number
  readonly step?: StepOptions
  readonly frozen?: readonly number[]
  /** Between steps. */
  readonly between?: (subject: Subject, step: number) => Promise<unknown>
}

/** Everything that comes of a training. */
async function trained(options: LocalOptions, course: Course = {}) {
  const subject = await create(options)
  const { model, trainer } = subject
  if (course.ema !== undefined) await trainer.keepAverage(course.ema)
  for (const k of course.frozen ?? []) trainer.modules[k]?.freeze()
  const told: unknown[] = []
  for (let step = 0; step < (course.steps ?? 3); step++) {
    const { modules } = await trainer.step(floatBatch(COUNT, step), course.step)
    told.push(
      modules.map(({ seconds: _, peakAllocatedBytes: __, allocatedBytesAfter: ___, ...m }) => m),
    )
    told.push(await course.between?.(subject, step))
  }
  const values = await valuesOf(subject)
  model.dispose()
  return { told, values }
}

const same = (got: unknown, want: unknown, what: string) => {
  assert.ok(Buffer.from(flat(got)).equals(Buffer.from(flat(want))), what)
}

/** Every number bit for bit, with its place. */
function flat(value: unknown): string {
  return JSON.stringify(value, (_, at) =>
    ArrayBuffer.isView(at)
      ? Buffer.from(at.buffer, at.byteOffset, at.byteLength).toString('base64')
      : at,
  )
}

/** A training with either kind of offloading against the one without. */
async function isExact(options: LocalOptions, course: Course = {}): Promise<void> {
  const want = await trained(options, course)
  for (const offload of KINDS) {
    same(await trained({ ...options, offload }, course), want, `offload=${offload}`)
  }
}

for (const method of LOCAL_METHODS) {
  test(`${method}: losses, weights and moments are the same bit for bit`, () =>
    isExact({ method, modules: 3 }))
}

test('with averages and clipped gradients', () =>
  isExact({}, { ema: 0.9, step: { clipNorm: 0.5 } }))

test('with recomputation, micro-batches and bfloat16', () =>
  isExact({ recompute: 'block', accumulate: 2, dtype: 'bfloat16', sample: 0.5 }, { ema: 0.5 }))

test('with SGD, and another optimizer for one module', () =>
  isExact({ optimizer: 'sgd', perModule: [{ optimizer: 'adamw' }] }))

test('with heads and decoders of blocks, reconstructing the image', () =>
  isExact({ head: 'later-stages', decoder: 'transformer', target: 'image', recompute: 'block' }))

test('with frozen modules, and with modules that do not run', async () => {
  await isExact({}, { frozen: [0, 2], ema: 0.9 })
  await isExact({}, { step: { learningRate: [null, 1e-3] } })
})

test('whatever is asked of network and trainer between steps', () =>
  isExact(
    { target: 'features' },
    {
      ema: 0.5,
      between: async ({ model, trainer }, step) => {
        const batch = floatBatch(COUNT, 10 + step)
        using features = await trainer.features(batch)
        using output = await (trainer.modules[0] as LocalTrainer['modules'][0]).forward(features)
        const seen = [
          await trainer.evaluate(batch),
          await trainer.predict(batch),
          await trainer.reconstruct(batch),
          await model.evaluate(batch),
          await model.predict(batch),
          await model.gradients(batch),
          await trainer.readAverage(),
          (await trainer.modules[1]?.step(output, batch.labels))?.labelLoss,
        ]
        await model.measureUnits(2)
        const [name = '', value] = Object.entries(await model.readParameters())[step] ?? []
        const data = (value?.data ?? new Float32Array()).map((v) => v / 2)
        await model.writeParameters({ [name]: { shape: value?.shape ?? [], data } })
        if (step === 1) await trainer.applyAverage()
        return seen
      },
    },
  ))

test('modules driven alone, one without its optimizer', () =>
  isExact(
    {},
    {
      ema: 0.9,
      between: async ({ trainer }, step) => {
        const batch = floatBatch(COUNT, 20 + step)
        await trainer.modules[1]?.releaseOptimizer()
        using features = await trainer.features(batch)
        const first = await trainer.modules[0]?.step(features, batch.labels)
        const second = await trainer.modules[1]?.step(first?.features ?? features, batch.labels)
        first?.features.dispose()
        second?.features.dispose()
        return [first?.labelLoss, second?.labelLoss, second?.reconstructionLoss]
      },
    },
  ))

test('a training goes on from the state of one that offloads otherwise', async () => {
  const more = async (first: Offload, then: Offload) => {
    const begun = await create({ offload: first })
    await begun.trainer.keepAverage(0.9)
    await begun.trainer.step(floatBatch(COUNT))
    const { tensors, generator } = await begun.trainer.readState()
    const [network, auxiliary] = [
      await begun.model.readParameters(),
      await begun.trainer.readAuxiliary(),
    ]
    begun.model.dispose()
    const next = await create({ offload: then, seed: 7 })
    await next.trainer.keepAverage(0.9)
    await next.model.writeParameters(network)
    await next.trainer.writeAuxiliary(auxiliary)
    await next.trainer.writeState({ tensors, generator })
    await next.trainer.step(floatBatch(COUNT, 1))
    const values = await valuesOf(next)
    next.model.dispose()
    return values
  }
  const want = await more('none', 'none')
  for (const [first, then] of [
    ['modules', 'none'],
    ['none', 'modules'],
    ['optimizer', 'modules'],
  ] as const) {
    same(await more(first, then), want, `${first}, then ${then}`)
  }
})

test('a step that fails changes nothing, and the next one is right', async () => {
  const after = async (offload: Offload) => {
    const subject = await create({ offload })
    const { model, trainer } = subject
    await trainer.keepAverage(0.9)
    await trainer.step(floatBatch(COUNT))
    const before = await valuesOf(subject)
    const live = memory.allocated()
    const bad = floatBatch(COUNT, 1)
    bad.images[5] = Number.NaN
    await rejects(() => trainer.step(bad), 'ERR_NON_FINITE')
    same(await valuesOf(subject), before, 'untouched')
    assert.is(memory.allocated(), live)
    await trainer.step(floatBatch(COUNT, 2))
    const values = await valuesOf(subject)
    model.dispose()
    return values
  }
  const want = await after('none')
  for (const offload of KINDS) same(await after(offload), want, offload)
})

test('two trainers of one network, one of which offloads it', async () => {
  const run = async (offload: Offload, other: Offload) => {
    const one = await create({ offload })
    const two = await LocalTrainer.create(one.model, { modules: 2, offload: other })
    for (let step = 0; step < 2; step++) {
      await one.trainer.step(floatBatch(COUNT, 2 * step))
      await two.step(floatBatch(COUNT, 2 * step + 1))
    }
    // The network outlives the trainer that kept its weights on the host.
    one.trainer.dispose()
    await two.step(floatBatch(COUNT, 9))
    two.dispose()
    const values = [await one.model.predict(floatBatch(COUNT)), await one.model.readParameters()]
    one.model.dispose()
    return values
  }
  const want = await run('none', 'none')
  same(await run('modules', 'none'), want, 'modules, none')
  same(await run('none', 'modules'), want, 'none, modules')
  same(await run('modules', 'modules'), want, 'modules, modules')
})

test('between steps the device holds nothing but the network, and at last not even that', async () => {
  memory.emptyCache()
  const empty = memory.allocated()
  const model = await SwinTransformer.create(NETWORK)
  const network = memory.allocated() - empty
  const resident = async (offload: Offload) => {
    await using trainer = await LocalTrainer.create(model, { offload })
    await trainer.keepAverage(0.9)
    const before = memory.allocated() - empty
    await trainer.step(floatBatch(COUNT))
    assert.is(memory.allocated() - empty, before, `${offload}: the same after a step`)
    return before
  }
  const [none, optimizer] = [await resident('none'), await resident('optimizer')]
  const weights = model.parameterCount * 4
  assert.ok(none > 4 * weights, `${none} bytes`)
  // Weights of heads and decoders, and what is no parameter.
  assert.ok(optimizer >= network && optimizer < network + weights, `${optimizer} bytes`)
  const modules = await resident('modules')
  assert.ok(modules < optimizer - weights, `${modules} bytes`)
  // Nobody keeps the weights away any longer: the first who needs them brings them back to stay.
  assert.ok(memory.allocated() - empty < network - weights / 2)
  await model.predict(floatBatch(COUNT))
  assert.ok(memory.allocated() - empty >= network)
  model.dispose()
  assert.is(memory.allocated(), empty)
})

test('at the peak there are two modules', async () => {
  const peakOf = async (offload: Offload) => {
    await using model = await SwinTransformer.create({ ...TINY, embedDim: 64 })
    await using trainer = await LocalTrainer.create(model, { offload, method: 'greedy' })
    await trainer.step(floatBatch(1))
    const { peakAllocatedBytes } = await trainer.step(floatBatch(1))
    const sizes = trainer.modules.map((m) => 4 * (m.parameterCount + m.auxiliaryParameterCount))
    return { peakAllocatedBytes, sizes }
  }
  const { peakAllocatedBytes: none, sizes } = await peakOf('none')
  const { peakAllocatedBytes: optimizer } = await peakOf('optimizer')
  const { peakAllocatedBytes: modules } = await peakOf('modules')
  const sum = sizes.reduce((all, size) => all + size, 0)
  const largest = Math.max(...sizes)
  // Almost all of this network's weights are in its last module, with two moments each.
  assert.ok(none - optimizer > 1.9 * (sum - largest), `${none} ${optimizer}`)
  assert.ok(optimizer - modules > 0.9 * (sum - largest), `${optimizer} ${modules}`)
})

test('what is copied is what was predicted', async () => {
  const cases: readonly [LocalOptions, Course][] = [
    [{ offload: 'optimizer' }, {}],
    [{ offload: 'modules' }, {}],
    [{ offload: 'modules', head: 'mlp' }, { ema: 0.9 }],
    [{ offload: 'modules', optimizer: 'sgd' }, { frozen: [1] }],
    [{ offload: 'optimizer', optimizer: 'sgd', momentum: 0 }, {}],
    [
      { offload: 'optimizer', perModule: [{ optimizer: 'sgd' }] },
      { ema: 0.9, frozen: [3] },
    ],
  ]
  for (const [options, { ema, frozen }] of cases) {
    const { model, trainer } = await create(options)
    if (ema !== undefined) await trainer.keepAverage(ema)
    for (const k of frozen ?? []) trainer.modules[k]?.freeze()
    const { toDeviceBytes, toHostBytes, hostBytes } = predictTransfers(trainer)
    const { transfers } = await trainer.step(floatBatch(COUNT))
    assert.is(transfers?.toDeviceBytes, toDeviceBytes)
    assert.is(transfers?.toHostBytes, toHostBytes)
    assert.ok(toDeviceBytes > 0 && hostBytes >= toHostBytes)
    model.dispose()
  }
  const { model, trainer } = await create({})
  assert.equal(predictTransfers(trainer), { toDeviceBytes: 0, toHostBytes: 0, hostBytes: 0 })
  assert.is((await trainer.step(floatBatch(COUNT))).transfers, undefined)
  model.dispose()
})

test('a second trainer of a network counts what it copies itself', async () => {
  const { model, trainer } = await create({ offload: 'modules' })
  const { toDeviceBytes, toHostBytes } = predictTransfers(trainer)
  trainer.dispose()
  const second = await LocalTrainer.create(model, { offload: 'modules' })
  assert.is(predictTransfers(second).toDeviceBytes, toDeviceBytes)
  const { transfers } = await second.step(floatBatch(COUNT))
  assert.is(transfers?.toDeviceBytes, toDeviceBytes)
  assert.is(transfers?.toHostBytes, toHostBytes)
  model.dispose()
})

test('a network that is disposed in the middle of a step', async () => {
  for (const offload of KINDS) {
    const live = memory.allocated()
    const { model, trainer } = await create({ offload })
    const stepping = trainer.step(floatBatch(32))
    model.dispose()
    await stepping
    await rejects(() => trainer.step(floatBatch(COUNT)), 'ERR_DISPOSED')
    assert.is(memory.allocated(), live)
  }
})

test.run()

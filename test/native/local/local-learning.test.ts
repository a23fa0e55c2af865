// What holds for every local step (docs/method.md, section 6), whatever the numbers.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as memory from '../../../lib/device/memory.js'
import { BackpropTrainer } from '../../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LearningStep } from '../../../lib/local/module-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { type SwinOptions, SwinTransformer } from '../../../lib/local/swin-transformer.js'
import type { Trainer, TrainStep } from '../../../lib/local/trainer.js'
import type { Features } from '../../../lib/native/features.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost, changed, isShareOf, rejects, same } from '../../helpers/expect.js'
import { byteBatch, floatBatch, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const BATCH = 6

interface Pair {
  readonly model: SwinTransformer
  readonly trainer: Trainer
}

async function local(options: LocalOptions = {}, sizes: SwinOptions = {}): Promise<Pair> {
  const model = await SwinTransformer.create({ ...TINY, ...sizes })
  return { model, trainer: await LocalTrainer.create(model, options) }
}

/** Every learned value of the network and of its auxiliary parts. */
async function weights({ model, trainer }: Pair) {
  return { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
}

/** A step as a script makes it that drives one module after another. */
async function stepByHand(trainer: Trainer, batch: ReturnType<typeof floatBatch>) {
  const modules = []
  let features = await trainer.features(batch)
  for (const module of trainer.modules) {
    const { features: next, ...step } = await module.step(features, batch.labels)
    features.dispose()
    features = next
    modules.push(step)
  }
  features.dispose()
  return modules
}

/** The modules of a step in which all learned. */
function learning(step: Pick<TrainStep, 'modules'>): readonly LearningStep[] {
  return step.modules.map((module) => {
    assert.ok(module.learned)
    return module as LearningStep
  })
}

const lossesOf = (step: Pick<TrainStep, 'modules'>) =>
  step.modules.map(({ labelLoss, reconstructionLoss, correct }) => ({
    ...{ labelLoss, reconstructionLoss, correct },
  }))

test('a module driven alone changes its own parameters and no others', async () => {
  const pair = await local()
  const { model, trainer } = pair
  const units = model.units.map((unit) => unit.name)
  const moduleOf = (parameter: string) => {
    const auxiliary = /^auxiliary\.(\d+)\./.exec(parameter)
    if (auxiliary) return Number(auxiliary[1])
    const unit = units.find((name) => parameter.startsWith(`${name}.`)) ?? 'classifier'
    return trainer.modules.findIndex((module) => module.units.includes(unit))
  }
  let features = await trainer.features(floatBatch(BATCH))
  for (const module of trainer.modules) {
    const before = await weights(pair)
    const { features: next } = await module.step(features, floatBatch(BATCH).labels)
    const moved = changed(before, await weights(pair))
    const own = Object.keys(before).filter((name) => moduleOf(name) === module.index)
    // Where a map is one token, attention has nothing to choose: q, k and the bias table get zero.
    const isIdle = (name: string) => name.includes('relative_position_bias_table')
    assert.equal(
      moved.filter((name) => !own.includes(name)),
      [],
      `${module.name} moved parameters of others`,
    )
    assert.equal(
      own.filter((name) => !moved.includes(name) && !isIdle(name)),
      [],
      `${module.name} left own parameters`,
    )
    features.dispose()
    features = next
  }
  features.dispose()
  model.dispose()
})

test('after its backward pass a module alone holds gradients', async () => {
  const { model, trainer } = await local()
  for (let step = 0; step < 2; step++) {
    const { modules } = await trainer.step(floatBatch(BATCH, step))
    assert.equal(
      modules.map((module) => module.modulesWithGradients),
      [[0], [1], [2], [3]],
    )
  }
  model.dispose()
})

test('a step is the modules driven one after another, bit for bit', async () => {
  const [whole, single] = [await local({}, { dropPath: 0.2 }), await local({}, { dropPath: 0.2 })]
  for (let step = 0; step < 3; step++) {
    const batch = floatBatch(BATCH, step)
    const { modules } = await whole.trainer.step(batch)
    assert.equal(
      lossesOf({ modules }),
      lossesOf({ modules: await stepByHand(single.trainer, batch) }),
    )
  }
  same(await weights(whole), await weights(single), 'weights')
  whole.model.dispose()
  single.model.dispose()
})

test('local learning with one module is backpropagation, bit for bit', async () => {
  const sizes = { ...TINY, dropPath: 0.2 }
  const optimization = { seed: 3, labelSmoothing: 0.1 }
  await using one = await SwinTransformer.create(sizes)
  await using other = await SwinTransformer.create(sizes)
  const localTrainer = await LocalTrainer.create(one, { modules: 1, ...optimization })
  const backprop = await BackpropTrainer.create(other, optimization)
  assert.equal(localTrainer.modules[0]?.units, backprop.modules[0]?.units)
  for (let step = 0; step < 4; step++) {
    const batch = floatBatch(BATCH, step)
    assert.equal(lossesOf(await localTrainer.step(batch)), lossesOf(await backprop.step(batch)))
  }
  same(await one.readParameters(), await other.readParameters(), 'weights')
})

test('stochastic depth is drawn from the seed of the trainer', async () => {
  const losses = []
  for (const [dropPath, seed] of [
    [0, 1],
    [0, 2],
    [0.5, 1],
    [0.5, 2],
  ] as const) {
    await using model = await SwinTransformer.create({ ...TINY, dropPath })
    const trainer = await BackpropTrainer.create(model, { seed })
    losses.push((await trainer.step(floatBatch(BATCH))).modules[0]?.labelLoss)
  }
  const [plain, alsoPlain, dropped, otherwise] = losses
  assert.is(plain, alsoPlain, 'without it the seed plays no part')
  assert.is.not(dropped, plain)
  assert.is.not(dropped, otherwise)
})

test('one seed gives one run, another seed another', async () => {
  const run = async (seed: number) => {
    const pair = await local({ seed }, { seed, dropPath: 0.1 })
    const losses = []
    for (let step = 0; step < 3; step++) {
      losses.push(lossesOf(await pair.trainer.step(byteBatch(BATCH, step))))
    }
    pair.model.dispose()
    return losses
  }
  const first = await run(7)
  assert.equal(await run(7), first)
  const other = await run(8)
  assert.not.equal(other, first)
})

for (const decoder of ['linear', 'conv'] as const) {
  test(`${decoder}: losses and updates are the same whatever the chunks`, async () => {
    const run = async (chunkSize: number) => {
      const pair = await local({ decoder, decoderHidden: 16, chunkSize })
      const first = await pair.trainer.step(floatBatch(BATCH))
      const second = await pair.trainer.step(floatBatch(BATCH, 1))
      pair.model.dispose()
      return [first, second] as const
    }
    const whole = await run(BATCH)
    for (const chunkSize of [1, 3, 4, 100]) {
      const chunked = await run(chunkSize)
      // The second step sees the first one's update, in which Adam has lifted the rounding.
      for (const [step, tolerance] of [
        [0, 1e-6],
        [1, 1e-4],
      ] as const) {
        for (const [k, want] of whole[step].modules.entries()) {
          const got = chunked[step].modules[k] as typeof want
          for (const loss of ['labelLoss', 'reconstructionLoss'] as const) {
            assert.is(got[loss] === null, want[loss] === null)
            atMost(
              Math.abs((got[loss] ?? 0) - (want[loss] ?? 0)),
              tolerance * (want[loss] ?? 0),
              `${loss} of step ${step + 1}, module ${k + 1}, in chunks of ${chunkSize}`,
            )
          }
          if (step === 0) assert.is(got.correct, want.correct)
        }
      }
    }
  })
}

test('between modules only resident bytes, handed-on features and labels are allocated', async () => {
  const count = 32
  const { model, trainer } = await local({ chunkSize: 4 })
  await trainer.step(floatBatch(count))
  const resident = memory.allocated()
  const { modules } = await trainer.step(floatBatch(count, 1))
  // A block is at most a page larger than what was asked for.
  const page = 4096
  const labels = 8 * count
  for (const [k, module] of modules.entries()) {
    const shape = model.units.find((unit) => unit.name === trainer.modules[k]?.units.at(-1))
    const size = shape?.outputShape.reduce((all, side) => all * side) as number
    assert.is(module.featureBytes, 4 * count * size)
    const most = resident + module.featureBytes + labels + 2 * page
    atMost(module.allocatedBytesAfter, most, `allocated after module ${k + 1}`)
    atMost(resident + module.featureBytes + labels, module.allocatedBytesAfter, 'and no less')
    // What is freed is not nothing: the peak stands well above.
    const activations = module.peakAllocatedBytes - module.allocatedBytesAfter
    atMost(4 * module.featureBytes, activations, `activations of module ${k + 1}`)
  }
  assert.is(memory.allocated(), resident, 'after the step only resident bytes are left')
  model.dispose()
})

test("a module's peak counts what it allocates, and the step's is the highest", async () => {
  const { model, trainer } = await local()
  const { modules, peakAllocatedBytes } = await trainer.step(floatBatch(16))
  const peaks = modules.map((module) => module.peakAllocatedBytes)
  assert.is(peakAllocatedBytes, Math.max(...peaks))
  assert.is(new Set(peaks).size, peaks.length, 'each module has its own window')
  model.dispose()
})

test("a step's seconds have the making of its floats in them", async () => {
  const { model, trainer } = await local()
  const outside = async (side: number) => {
    const images = new Uint8Array(4 * 3 * side * side)
    const batch = { images, labels: new Int32Array(4), height: side, width: side }
    const { seconds, modules } = await trainer.step(batch)
    return { outside: seconds - modules.reduce((sum, one) => sum + one.seconds, 0), seconds }
  }
  await outside(32)
  // No measure of speed: 4,096 times the pixels that the network then works on.
  const large = await outside(2048)
  assert.ok(large.outside > large.seconds / 2, `${large.outside} of ${large.seconds} s`)
  model.dispose()
})

test('four modules peak below backpropagation on the same network and batch', async () => {
  const sizes = { ...TINY, depths: [2, 2, 2, 2] }
  const peak = async (create: (model: SwinTransformer) => Promise<Trainer>) => {
    await using model = await SwinTransformer.create(sizes)
    const trainer = await create(model)
    const resident = memory.allocated()
    const { peakAllocatedBytes } = await trainer.step(floatBatch(64))
    return peakAllocatedBytes - resident
  }
  const backprop = await peak((model) => BackpropTrainer.create(model))
  const paper = await peak((model) => LocalTrainer.create(model, { method: 'paper', modules: 4 }))
  const two = await peak((model) => LocalTrainer.create(model, { method: 'paper', modules: 2 }))
  // Stage 1 holds about half of the activations here; all of them stay until the end in backprop.
  isShareOf(paper, 0.7, backprop, 'activations at the peak of paper:4')
  atMost(paper, two, 'paper:4 against paper:2')
  isShareOf(two, 0.9, backprop, 'activations at the peak of paper:2')
})

for (const decoder of ['linear', 'conv'] as const) {
  test(`${decoder}: 200 steps allocate nothing that stays`, async () => {
    const { model, trainer } = await local(
      { decoder, decoderHidden: 8 },
      { depths: [1, 1, 1, 1], dropPath: 0.1 },
    )
    await trainer.step(floatBatch(2))
    const before = memory.allocated()
    for (let step = 0; step < 200; step++) await trainer.step(byteBatch(2, step))
    assert.is(memory.allocated(), before)
    model.dispose()
  })
}

test('50 networks made, used and disposed allocate nothing that stays', async () => {
  const live = async () => {
    await using model = await SwinTransformer.create({ ...TINY, depths: [1, 1, 1, 1] })
    const trainer = await LocalTrainer.create(model)
    await trainer.step(floatBatch(2))
    const features = await trainer.features(floatBatch(2))
    await (await trainer.modules[0]?.forward(features))?.dispose()
    features.dispose()
    await trainer.evaluate(floatBatch(2))
    await model.gradients(floatBatch(2))
  }
  await live()
  const before = memory.allocated()
  for (let i = 0; i < 50; i++) await live()
  assert.is(memory.allocated(), before)
})

test('a loss that is no finite number leaves every weight as it was', async () => {
  const pair = await local()
  const { model, trainer } = pair
  await trainer.step(floatBatch(BATCH))
  const before = await weights(pair)
  const allocated = memory.allocated()
  const bad = floatBatch(BATCH, 1)
  bad.images[100] = Number.NaN
  const error = await rejects(() => trainer.step(bad), 'ERR_NON_FINITE', 'module 1')
  assert.is(error.module, 'module 1')
  same(before, await weights(pair), 'weights')
  assert.is(memory.allocated(), allocated, 'gradients and activations are freed')
  const step = await trainer.step(floatBatch(BATCH, 2))
  assert.equal(
    step.modules.map((module) => module.modulesWithGradients),
    [[0], [1], [2], [3]],
    'no gradient of the failed step is left',
  )
  for (const { labelLoss } of step.modules) assert.ok(Number.isFinite(labelLoss))
  model.dispose()
})

test('a loss that is no finite number in a later module names it and spares it', async () => {
  const pair = await local()
  const { model, trainer } = pair
  const broken = await model.readParameters()
  const weight = broken['layers.2.blocks.0.mlp.fc1.weight'] as { data: Float32Array }
  weight.data[0] = Number.POSITIVE_INFINITY
  await model.writeParameters(broken)
  const before = await weights(pair)
  const error = await rejects(() => trainer.step(floatBatch(BATCH)), 'ERR_NON_FINITE', 'module 3')
  assert.is(error.module, 'module 3')
  const moved = changed(before, await weights(pair))
  assert.ok(moved.some((name) => name.startsWith('layers.0.')))
  assert.not.ok(
    moved.some((name) => /^(layers\.[23]|head|norm|auxiliary\.2)\./.test(name)),
    'neither it nor later modules moved',
  )
  model.dispose()
})

for (const [name, options] of [
  ['adamw', { optimizer: 'adamw' }],
  ['sgd, in micro-batches of bfloat16', { optimizer: 'sgd', accumulate: 2, dtype: 'bfloat16' }],
] as const) {
  test(`a gradient that is no finite number is found where every loss is one: ${name}`, async () => {
    const pair = await local({ method: 'greedy', labelWeight: 3e38, ...options })
    const { model, trainer } = pair
    // The logits stay as they are, and what goes back through them is a thousand times as much.
    const auxiliary = await trainer.readAuxiliary()
    const scaled = (name: string, factor: number) => {
      const { shape, data } = auxiliary[name] as { shape: number[]; data: Float32Array }
      return { [name]: { shape, data: data.map((value) => factor * value) } }
    }
    await trainer.writeAuxiliary({
      ...scaled('auxiliary.0.head.norm.weight', 1e-3),
      ...scaled('auxiliary.0.head.fc.weight', 1e3),
    })
    const before = await weights(pair)
    const error = await rejects(
      () => trainer.step(floatBatch(BATCH)),
      'ERR_NON_FINITE',
      /gradient of \S+\.(weight|bias|\w+_table) of module 1/,
    )
    assert.is(error.module, 'module 1')
    assert.ok(Object.keys(before).includes(String(error.parameter)))
    same(before, await weights(pair), 'weights')
    model.dispose()
  })
}

test('a learning rate of 0 leaves every weight as it was', async () => {
  const pair = await local()
  const before = await weights(pair)
  await pair.trainer.step(floatBatch(BATCH), { learningRate: 0 })
  same(before, await weights(pair), 'weights')
  await pair.trainer.step(floatBatch(BATCH), { learningRate: 1e-3 })
  assert.ok(changed(before, await weights(pair)).length > 0)
  pair.model.dispose()
})

for (const [name, options] of [
  ['paper', { method: 'paper' }],
  ['paper with the conv decoder', { method: 'paper', decoder: 'conv', decoderHidden: 16 }],
  ['greedy', { method: 'greedy' }],
  ['one module', { modules: 1 }],
] as const) {
  test(`${name}: 30 steps on one batch lower every loss`, async () => {
    const { model, trainer } = await local(options)
    const batch = floatBatch(10)
    const learningRate = 3e-3
    const first = await trainer.step(batch, { learningRate })
    let last = first
    for (let step = 1; step < 30; step++) last = await trainer.step(batch, { learningRate })
    for (const [k, { labelLoss, reconstructionLoss, correct }] of learning(last).entries()) {
      const before = learning(first)[k] as LearningStep
      // The first modules see noise through a narrow net; the classifier learns it by heart.
      const most = k === last.modules.length - 1 ? 0.2 : 0.95
      isShareOf(labelLoss, most, before.labelLoss, `label loss of module ${k + 1}`)
      assert.ok(correct > before.correct, `module ${k + 1} answers more right`)
      assert.is(reconstructionLoss !== null, trainer.modules[k]?.reconstructs)
      if (reconstructionLoss === null) continue
      const reconstructionBefore = before.reconstructionLoss ?? 0
      isShareOf(reconstructionLoss, 0.9, reconstructionBefore, `reconstruction, ${k + 1}`)
    }
    const evaluation = await trainer.evaluate(batch)
    assert.is(evaluation.length, trainer.modules.length)
    const classifier = evaluation.at(-1)
    assert.is(classifier?.correct, 10, 'the batch is learned')
    model.dispose()
  })
}

test('greedy has heads and no decoders', async () => {
  const { model, trainer } = await local({ method: 'greedy' })
  const names = Object.keys(await trainer.readAuxiliary())
  assert.ok(names.includes('auxiliary.0.head.fc.weight'))
  assert.not.ok(names.some((name) => name.includes('decoder')))
  const { modules } = await trainer.step(floatBatch(BATCH))
  for (const module of modules) assert.is(module.reconstructionLoss, null)
  model.dispose()
})

test('evaluation learns nothing and agrees with predict', async () => {
  const pair = await local({}, { dropPath: 0.5 })
  const { model, trainer } = pair
  const before = await weights(pair)
  const batch = floatBatch(BATCH)
  const evaluation = await trainer.evaluate(batch)
  same(before, await weights(pair), 'weights')
  const { data } = await model.predict(batch)
  let loss = 0
  let correct = 0
  batch.labels.forEach((label, i) => {
    const logits = [...data.subarray(i * TINY.classes, (i + 1) * TINY.classes)]
    loss += Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0)) - (logits[label] as number)
    if (logits.indexOf(Math.max(...logits)) === label) correct += 1
  })
  const classifier = evaluation.at(-1) as { lossSum: number; correct: number }
  atMost(Math.abs(classifier.lossSum - loss), 1e-4 * loss, 'sum of the losses')
  assert.is(classifier.correct, correct)
  model.dispose()
})

test('split names the stages behind which the network is cut', async () => {
  await using model = await SwinTransformer.create(TINY)
  const unitsOf = async (options: LocalOptions) => {
    await using trainer = await LocalTrainer.create(model, options)
    return trainer.modules.map((module) => module.units)
  }
  const all = model.units.map((unit) => unit.name)
  const stages = await unitsOf({ modules: 4 })
  assert.equal(stages.flat(), all, 'every unit in one module, in order')
  assert.equal(
    stages.map((units) => units[0]),
    ['patch_embed', 'layers.1.downsample', 'layers.2.downsample', 'layers.3.downsample'],
  )
  assert.equal(await unitsOf({ modules: 4, split: [1, 2, 3] }), stages)
  const starts = async (options: LocalOptions) => (await unitsOf(options)).map((units) => units[0])
  assert.equal(await starts({ modules: 2 }), ['patch_embed', 'layers.1.downsample'])
  assert.equal(await starts({ modules: 2, split: [3] }), ['patch_embed', 'layers.3.downsample'])
  assert.equal(await starts({ modules: 3, split: [1, 3] }), [
    'patch_embed',
    'layers.1.downsample',
    'layers.3.downsample',
  ])
})

test('bytes are scaled to 0..1 and normalised as floats would be', async () => {
  await using model = await SwinTransformer.create(TINY)
  const { images } = byteBatch(2)
  const [mean, std] = [
    [0.4, 0.5, 0.6],
    [0.2, 0.3, 0.25],
  ] as const
  const plane = 32 * 32
  const floats = Float32Array.from(images, (byte, i) => {
    const channel = Math.floor(i / plane) % 3
    return (byte / 255 - (mean[channel] as number)) / (std[channel] as number)
  })
  const fromBytes = await model.predict({ images, mean, std })
  const fromFloats = await model.predict({ images: floats })
  const largest = Math.max(...fromFloats.data.map(Math.abs))
  fromBytes.data.forEach((logit, i) => {
    atMost(Math.abs(logit - (fromFloats.data[i] as number)) / largest, 1e-5, `logit ${i}`)
  })
})

test('modules may learn at different rates and at different times', async () => {
  const pair = await local({ modules: 2 })
  const { trainer, model } = pair
  const batch = floatBatch(BATCH)
  const [first, second] = trainer.modules as [
    (typeof trainer.modules)[0],
    (typeof trainer.modules)[0],
  ]
  const before = await weights(pair)
  const input: Features = await trainer.features(batch)
  const output = await first.forward(input)
  assert.equal(changed(before, await weights(pair)), [], 'forward does not learn')
  for (const learningRate of [1e-2, 1e-3]) {
    const { features } = await second.step(output, batch.labels, { learningRate })
    features.dispose()
  }
  output.dispose()
  input.dispose()
  const moved = changed(before, await weights(pair))
  assert.ok(moved.length > 0)
  assert.not.ok(moved.some((name) => name.startsWith('layers.0.') || name.startsWith('aux')))
  model.dispose()
})

test.run()

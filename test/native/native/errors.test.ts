// Every wrong input is an error that names the thing and the value; nothing else changes.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ERROR_CODES, LocalformerError } from '../../../lib/base/errors.js'
import type { ImageBatch } from '../../../lib/batch/batch.js'
import { BackpropTrainer } from '../../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import {
  type SwinOptions,
  SwinTransformer,
  type Tensors,
} from '../../../lib/local/swin-transformer.js'
import type { Features } from '../../../lib/native/features.js'
import { loadTorch } from '../../../lib/native/load.js'
import { changed, rejects, same } from '../../helpers/expect.js'
import { byteBatch, floatBatch, SLOW, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const SMALL = { ...TINY, depths: [1, 1], heads: [1, 2] } as const
const VALUES = 3 * 32 * 32

/** Passes a value of a wrong type, as a script in JavaScript may. */
const untyped = <T>(value: unknown) => value as T

async function small(options: LocalOptions = {}) {
  const model = await SwinTransformer.create(SMALL)
  const trainer = await LocalTrainer.create(model, { modules: 2, ...options })
  return { model, trainer }
}

test('images of a wrong size or type', async () => {
  const { model, trainer } = await small()
  const { images, labels } = floatBatch(2)
  for (const [batch, ...parts] of [
    [{ images: images.subarray(1), labels }, '`images`', `${2 * VALUES - 1}`, `${VALUES}`],
    [{ images: new Float32Array(0), labels: [] }, '`images`', 'received 0'],
    [{ images: new Uint8Array(7), labels: [0] }, '`images`', 'received 7'],
    [{ images: [...images], labels }, '`images`', 'a Uint8Array or a Float32Array'],
    [{ images: new Float64Array(images), labels }, '`images`', 'a Uint8Array or a Float32Array'],
    [{ images: images.buffer, labels }, '`images`', 'a Uint8Array or a Float32Array'],
    [{ images: null, labels }, '`images`', 'null'],
    [{ labels }, '`images`', 'nothing'],
    [{ images: floatBatch(1, 0, 16).images, height: 16, width: 16, labels: [0] }, '16 x 16'],
    [{ images, labels, height: Number.NaN }, '`height`', 'NaN'],
    [{ images: byteBatch(2).images, labels, height: -32, width: -32 }, '`height`', '-32'],
    [{ images: byteBatch(2).images, labels, width: '32' }, '`width`', '"32"'],
    [{ images: byteBatch(2).images, labels, height: 64, width: 0.5 }, '`width`', '0.5'],
  ] as const) {
    await rejects(() => trainer.step(untyped<ImageBatch>(batch)), 'ERR_SHAPE', ...parts)
    await rejects(() => model.predict(untyped<ImageBatch>(batch)), 'ERR_SHAPE', ...parts)
  }
  for (const batch of [undefined, null, 5, 'images']) {
    await rejects(() => trainer.step(untyped<ImageBatch>(batch)), 'ERR_SHAPE', '`batch`')
  }
  model.dispose()
})

test('labels that are missing, too many or no classes', async () => {
  const { model, trainer } = await small()
  const { images } = floatBatch(2)
  const withLabels = (labels: unknown) => untyped<ImageBatch>({ images, labels })
  const calls = [
    (labels: unknown) => trainer.step(withLabels(labels)),
    (labels: unknown) => trainer.evaluate(withLabels(labels)),
    (labels: unknown) => model.gradients(withLabels(labels)),
  ]
  for (const call of calls) {
    for (const [label, text] of [
      [10, '10'],
      [-1, '-1'],
      [Number.NaN, 'NaN'],
      [0.5, '0.5'],
      [Number.POSITIVE_INFINITY, 'Infinity'],
      [2 ** 32, '4294967296'],
      ['1', '"1"'],
      [null, 'null'],
      [undefined, 'nothing'],
      [1n, '1n'],
    ] as const) {
      await rejects(() => call([0, label]), 'ERR_DATASET', '`labels[1]`', '0 to 9', text)
    }
    await rejects(() => call(undefined), 'ERR_SHAPE', '`labels`', 'nothing')
    await rejects(() => call(null), 'ERR_SHAPE', '`labels`', 'null')
    await rejects(() => call(7), 'ERR_SHAPE', '`labels`', '7')
    await rejects(() => call([1]), 'ERR_SHAPE', '`labels`', '2', '1')
    await rejects(() => call([1, 2, 3]), 'ERR_SHAPE', '`labels`', '2', '3')
  }
  model.dispose()
})

test('normalisation and augmentation that make no sense', async () => {
  const { model, trainer } = await small()
  for (const [extra, name, value] of [
    [{ mean: [0.5] }, '`mean`', '[0.5]'],
    [{ mean: [0, 0, Number.NaN] }, '`mean`', 'null'],
    [{ mean: 'abc' }, '`mean`', '"abc"'],
    [{ std: [1, 1, 0] }, '`std`', '[1,1,0]'],
    [{ std: [1, -1, 1] }, '`std`', '[1,-1,1]'],
    [{ augment: { cropPadding: 32 } }, '`augment.cropPadding`', '32'],
    [{ augment: { cropPadding: -1 } }, '`augment.cropPadding`', '-1'],
    [{ augment: { flip: 'yes' } }, '`augment.flip`', '"yes"'],
    [{ augment: { seed: 0.5 } }, '`augment.seed`', '0.5'],
    [{ augment: { seed: 'x' } }, '`augment.seed`', '"x"'],
    [{ augment: null }, '`augment`', 'null'],
    [{ augment: { crop: 4 } }, '"crop"', 'cropPadding, cropMode, flip'],
  ] as const) {
    const batch = untyped<ImageBatch>({ ...byteBatch(2), ...extra })
    await rejects(() => trainer.step(batch), 'ERR_CONFIG', name, value)
  }
  model.dispose()
})

test('a learning rate that is none', async () => {
  const { model, trainer } = await small()
  const features = await trainer.features(floatBatch(2))
  for (const learningRate of [-1, Number.NaN, Number.POSITIVE_INFINITY, '0.1', null]) {
    const options = untyped<{ learningRate: number }>({ learningRate })
    for (const call of [
      () => trainer.step(floatBatch(2), options),
      () => trainer.modules[0]?.step(features, [0, 1], options),
    ]) {
      await rejects(call, 'ERR_CONFIG', '`learningRate`', 'at least 0')
    }
  }
  const misspelt = untyped<object>({ learningrate: 1 })
  await rejects(() => trainer.step(floatBatch(2), misspelt), 'ERR_CONFIG', 'learningrate')
  features.dispose()
  model.dispose()
})

test('sizes that do not divide', async () => {
  for (const [options, ...parts] of [
    [{ imageSize: 33 }, '`imageSize`', 'multiple of the patch size', '33'],
    [{ windowSize: 3 }, '`windowSize`', 'window 3', '8 x 8', 'stage 1'],
    [{ heads: [3, 2] }, '`heads`', '3 heads', 'width 16', 'stage 1'],
    [{ heads: [1, 5] }, '`heads`', '5 heads', 'width 32', 'stage 2'],
    [{ imageSize: 4 }, '`imageSize`', 'halves 1 times', 'received 4'],
    [{ depths: [1, 1, 1] }, '`depths`', '`heads`', '3 depths', '2 heads'],
  ] as const) {
    const create = () => SwinTransformer.create({ ...SMALL, ...options })
    await rejects(create, 'ERR_CONFIG', ...parts)
  }
})

test('unknown options and values name what is allowed', async () => {
  const model = await SwinTransformer.create(SMALL)
  for (const [options, ...parts] of [
    [{ variant: 'huge' }, '`variant`', 'tiny, small, base, large, micro', '"huge"'],
    [{ imagesize: 32 }, '"imagesize"', 'imageSize', 'patchSize'],
    [{ classes: 0 }, '`classes`', '0'],
    [{ classes: 1.5 }, '`classes`', '1.5'],
    [{ dropPath: 1 }, '`dropPath`', 'below 1'],
    [{ dropPath: Number.NaN }, '`dropPath`', 'NaN'],
    [{ mlpRatio: 0 }, '`mlpRatio`', '0'],
    [{ depths: [] }, '`depths`', 'at least one stage'],
    [{ depths: [2, 'x'] }, '`depths.1`', '"x"'],
    [{ depths: 2 }, '`depths`', '2'],
    [{ seed: -1 }, '`seed`', '-1'],
    [{ device: 'tpu' }, '`device`', 'cpu, cuda, cuda:N, auto or a simulated card', '"tpu"'],
  ] as const) {
    const create = () => SwinTransformer.create(untyped<SwinOptions>({ ...SMALL, ...options }))
    await rejects(create, 'ERR_CONFIG', ...parts)
  }
  for (const [options, ...parts] of [
    [{ method: 'infpro' }, '`method`', 'paper, infopro, greedy, trgl', '"infpro"'],
    [{ decoder: 'mlp' }, '`decoder`', 'linear, conv', '"mlp"'],
    [{ decoder: 'conv', decoderHidden: 12 }, '`decoderHidden`', '12', '8'],
    [{ modules: 0 }, '`modules`', '0'],
    [{ chunkSize: 0 }, '`chunkSize`', '0'],
    [{ labelWeight: -1 }, '`labelWeight`', '-1'],
    [{ reconstructionWeight: Number.NaN }, '`reconstructionWeight`', 'NaN'],
    [{ labelSmoothing: 1 }, '`labelSmoothing`', 'below 1'],
    [{ betas: [0.9] }, '`betas`', 'two numbers'],
    [{ betas: [0.9, 1] }, '`betas.1`', 'below 1'],
    [{ eps: 0 }, '`eps`', '0'],
    [{ weightDecay: -0.1 }, '`weightDecay`', '-0.1'],
    [{ optimizer: 'adam' }, '`optimizer`', 'adamw, sgd'],
    [{ target: 'pixels' }, '`target`', 'features, image, none'],
    [{ head: 'conv' }, '`head`', 'linear, mlp, transformer, later-stages'],
    [{ distance: 'bce' }, 'bce', 'features', 'mse or l1'],
    [{ decoder: 'infopro' }, 'infopro', 'image', 'linear, conv or transformer'],
    [{ method: 'infopro', chunkSize: 4 }, 'BatchNorm', 'chunks of 4'],
    [{ method: 'infopro', accumulate: 2 }, 'BatchNorm', '2 micro-batches'],
    [{ sample: 0 }, '`sample`', '0'],
    [{ dtype: 'float16' }, '`dtype`', 'float32, bfloat16'],
    [{ precision: 'fp32' }, '`precision`', 'ieee, tf32'],
    [{ math: 'blas' }, '`math`', 'tuned, onednn, mkl'],
    [{ recompute: 'all' }, '`recompute`', 'none, selective, block'],
    [{ perModule: [null, null, null] }, '`perModule`', 'at most 2'],
    [{ perModule: [{ lr: 1 }] }, 'perModule'],
    [{ seed: 1.5 }, '`seed`', '1.5'],
  ] as const) {
    const create = () =>
      LocalTrainer.create(model, untyped<LocalOptions>({ modules: 2, ...options }))
    await rejects(create, 'ERR_CONFIG', ...parts)
  }
  for (const options of [{ modules: 4 }, { method: 'paper' }, { decoder: 'linear' }]) {
    const create = () => BackpropTrainer.create(model, untyped<object>(options))
    await rejects(create, 'ERR_CONFIG', Object.keys(options)[0] as string, 'Allowed are')
  }
  for (const options of [null, 5, 'tiny', []]) {
    await rejects(() => SwinTransformer.create(untyped<SwinOptions>(options)), 'ERR_CONFIG')
    await rejects(() => LocalTrainer.create(model, untyped<LocalOptions>(options)), 'ERR_CONFIG')
  }
  model.dispose()
})

test('splits that are impossible say which are possible', async () => {
  await using model = await SwinTransformer.create(TINY)
  for (const [options, ...parts] of [
    [{ modules: 5 }, '4 stages', '5 modules', 'at most 4 modules', '`balanced`'],
    [{ modules: 2, split: [4] }, '[4]', '1 to 3'],
    [{ modules: 2, split: [0] }, '[0]'],
    [{ modules: 2, split: [1, 2] }, 'makes 3 modules', 'not 2'],
    [{ modules: 3, split: [2] }, 'makes 2 modules', 'not 3'],
    [{ modules: 3, split: [2, 1] }, '[2,1]', 'rising'],
    [{ modules: 3, split: [2, 2] }, '[2,2]', 'rising'],
    [{ modules: 2, split: [1.5] }, '[1.5]'],
    [{ modules: 1, split: [2] }, 'makes 2 modules', 'not 1'],
    [{ split: 'even' }, '`split`', '"even"', 'balanced'],
    [{ split: 'balanced', modules: 11 }, '10 units', '11 modules', '1 to 10'],
    [{ split: 'blocks', modules: 4 }, 'makes 5 modules', 'not 4'],
    [{ split: ['layers.9.blocks.0'] }, 'layers.9.blocks.0', 'patch_embed'],
    [{ split: ['classifier'] }, 'classifier'],
  ] as const) {
    const create = () => LocalTrainer.create(model, untyped<LocalOptions>(options))
    await rejects(create, 'ERR_CONFIG', ...parts)
  }
})

test('a trainer is made of a model', async () => {
  const { model, trainer } = await small()
  for (const wrong of [null, undefined, {}, trainer, model.config]) {
    for (const create of [LocalTrainer.create, BackpropTrainer.create]) {
      await rejects(() => create(untyped<SwinTransformer>(wrong)), 'ERR_CONFIG', '`model`')
    }
  }
  model.dispose()
})

test('one call at a time: a second one is refused, the first one ends well', async () => {
  const { model, trainer } = await small()
  const features = await trainer.features(floatBatch(2))
  const first = trainer.step(floatBatch(16))
  for (const call of [
    () => trainer.step(floatBatch(2)),
    () => trainer.evaluate(floatBatch(2)),
    () => trainer.features(floatBatch(2)),
    () => trainer.readAuxiliary(),
    () => trainer.modules[0]?.step(features, [0, 1]),
    () => trainer.modules[0]?.forward(features),
  ]) {
    await rejects(call, 'ERR_BUSY', 'trainer', 'Await')
  }
  assert.is((await first).modules.length, 2)
  await trainer.step(floatBatch(2))

  const reading = model.readParameters()
  await rejects(() => model.predict(floatBatch(2)), 'ERR_BUSY', 'model')
  await reading
  await model.predict(floatBatch(2))
  features.dispose()
  model.dispose()
})

test('a refused call leaves the trainer free', async () => {
  const { model, trainer } = await small()
  const bad = floatBatch(2)
  bad.images[0] = Number.NaN
  await rejects(() => trainer.step(bad), 'ERR_NON_FINITE')
  await rejects(() => trainer.step(untyped<ImageBatch>({})), 'ERR_SHAPE')
  await trainer.step(floatBatch(2))
  model.dispose()
})

test('what was disposed says so', async () => {
  const { model, trainer } = await small()
  const features = await trainer.features(floatBatch(2))
  const module = trainer.modules[0] as (typeof trainer.modules)[0]
  features.dispose()
  features.dispose()
  assert.ok(features.disposed)
  await rejects(() => module.forward(features), 'ERR_DISPOSED', 'features')
  await rejects(() => module.step(features, [0, 1]), 'ERR_DISPOSED', 'features')

  const alive = await trainer.features(floatBatch(2))
  trainer.dispose()
  trainer.dispose()
  for (const call of [
    () => trainer.step(floatBatch(2)),
    () => trainer.evaluate(floatBatch(2)),
    () => trainer.features(floatBatch(2)),
    () => trainer.readAuxiliary(),
    () => trainer.writeAuxiliary({}),
    () => module.forward(alive),
    () => module.step(alive, [0, 1]),
  ]) {
    await rejects(call, 'ERR_DISPOSED', 'trainer')
  }
  await model.predict(floatBatch(2))

  const other = await LocalTrainer.create(model, { modules: 2 })
  model.dispose()
  assert.ok(other.disposed, "a model's trainers go with it")
  for (const call of [
    () => model.predict(floatBatch(2)),
    () => model.gradients(floatBatch(2)),
    () => model.readParameters(),
    () => model.writeParameters({}),
    () => model.parameters(),
    () => LocalTrainer.create(model, { modules: 2 }),
    () => BackpropTrainer.create(model),
  ]) {
    await rejects(call, 'ERR_DISPOSED', 'model')
  }
  await rejects(() => other.step(floatBatch(2)), 'ERR_DISPOSED', 'trainer')
  alive.dispose()
})

for (const [what, dispose] of [
  ['the trainer', (_: SwinTransformer, trainer: LocalTrainer) => trainer.dispose()],
  ['the model', (model: SwinTransformer) => model.dispose()],
] as const) {
  test(`disposing ${what} in the middle of a step lets it end`, async () => {
    const model = await SwinTransformer.create(SLOW)
    const trainer = await LocalTrainer.create(model)
    const step = trainer.step(floatBatch(8))
    dispose(model, trainer)
    const { modules } = await step
    assert.is(modules.length, 4)
    for (const { labelLoss } of modules) assert.ok(Number.isFinite(labelLoss))
    await rejects(() => trainer.step(floatBatch(8)), 'ERR_DISPOSED', 'trainer')
    model.dispose()
  })
}

test("features disposed in the middle of a module's step are kept until it ends", async () => {
  const { model, trainer } = await small()
  const features = await trainer.features(floatBatch(2))
  const step = trainer.modules[0]?.step(features, [0, 1])
  features.dispose()
  const output = (await step)?.features as Features
  assert.equal(output.shape, [2, 8, 8, 16])
  output.dispose()
  model.dispose()
})

test('features of another module or model do not fit', async () => {
  const { model, trainer } = await small()
  const [first, second] = trainer.modules as [
    (typeof trainer.modules)[0],
    (typeof trainer.modules)[0],
  ]
  const input = await trainer.features(floatBatch(2))
  const output = await first.forward(input)
  const logits = await second.forward(output)
  for (const [module, features] of [
    [second, input],
    [first, output],
    [first, logits],
    [second, logits],
  ] as const) {
    const received = `[${features.shape.join(', ')}]`
    await rejects(() => module.forward(features), 'ERR_SHAPE', 'features', received)
    await rejects(() => module.step(features, [0, 1]), 'ERR_SHAPE', 'features', received)
  }
  for (const wrong of [null, undefined, {}, model, trainer, new Float32Array(4)]) {
    const features = untyped<Features>(wrong)
    await rejects(() => first.forward(features), 'ERR_SHAPE', '`features`')
    await rejects(() => first.step(features, [0, 1]), 'ERR_SHAPE', '`features`')
  }
  await rejects(() => first.step(input, [0]), 'ERR_SHAPE', '`labels`')
  await rejects(() => first.step(input, [0, 10]), 'ERR_DATASET', '`labels[1]`', '10')
  for (const features of [input, output, logits]) features.dispose()
  model.dispose()
})

test('tensors that do not fit are listed, and none is written', async () => {
  const { model, trainer } = await small()
  const before = { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
  const fits = { shape: [10], data: new Float32Array(10).fill(9) }
  const write = (values: unknown) => model.writeParameters(untyped<Tensors>(values))
  const error = await rejects(
    () =>
      write({
        'head.fc.bias': fits,
        'head.fc.nothing': fits,
        'norm.weight': fits,
        'norm.bias': { shape: [32], data: new Float32Array(31) },
      }),
    'ERR_CHECKPOINT',
    'head.fc.nothing',
    'norm.weight',
    '[32]',
    '[10]',
    'norm.bias',
    '31',
  )
  assert.not.match(error.message, 'head.fc.bias')
  const auxiliary = { 'auxiliary.0.head.fc.bias': fits, 'auxiliary.9.head.fc.bias': fits }
  await rejects(() => trainer.writeAuxiliary(auxiliary), 'ERR_CHECKPOINT', 'auxiliary.9.head')
  for (const value of [
    null,
    undefined,
    5,
    [0, 0],
    {},
    { shape: [10] },
    { data: new Float32Array(10) },
    { shape: 10, data: new Float32Array(10) },
    { shape: ['10'], data: new Float32Array(10) },
    { shape: [10], data: Array(10).fill(0) },
    { shape: [10], data: new Uint8Array(10) },
    { shape: [10], data: new Float64Array(10) },
    { shape: [10], data: new ArrayBuffer(40) },
  ]) {
    await rejects(() => write({ 'head.fc.bias': value }), 'ERR_CHECKPOINT', 'head.fc.bias')
  }
  for (const values of [null, undefined, 5, 'weights']) {
    await rejects(() => write(values), 'ERR_CHECKPOINT', '`values`')
  }
  const after = { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
  same(before, after, 'weights')
  await model.writeParameters({ 'head.fc.bias': fits })
  assert.equal(changed(before, { ...after, ...(await model.readParameters()) }), ['head.fc.bias'])
  model.dispose()
})

test('options of random wrong types never crash and are always told', async () => {
  const model = await SwinTransformer.create(SMALL)
  const junk = [
    ...[null, true, 'x', '', -1, 0.5, Number.NaN, Number.NEGATIVE_INFINITY, 1e300],
    ...[10n, [], [null], [[]], {}, { length: 3 }, () => 1, Symbol('s'), new Date(), /x/],
    ...[new Float32Array(2), new Map(), new Proxy({}, {}), Object.create(null)],
  ]
  let refused = 0
  const tries = async (call: () => Promise<{ dispose(): void } | undefined>) => {
    try {
      ;(await call())?.dispose()
    } catch (error) {
      assert.instance(error, LocalformerError, String(error))
      assert.ok(ERROR_CODES.includes((error as LocalformerError).code))
      refused += 1
    }
  }
  const swin = ['variant', 'imageSize', 'patchSize', 'windowSize', 'embedDim', 'depths', 'heads']
  swin.push('mlpRatio', 'dropPath', 'classes', 'device', 'seed')
  for (const name of swin) {
    for (const value of junk) {
      await tries(() => SwinTransformer.create(untyped<SwinOptions>({ ...SMALL, [name]: value })))
    }
  }
  const local = ['method', 'modules', 'split', 'decoder', 'decoderHidden', 'labelWeight', 'seed']
  local.push('reconstructionWeight', 'chunkSize', 'weightDecay', 'betas', 'eps', 'labelSmoothing')
  for (const name of local) {
    for (const value of junk) {
      const options = untyped<LocalOptions>({ modules: 2, decoder: 'conv', [name]: value })
      await tries(() => LocalTrainer.create(model, options))
    }
  }
  const trainer = await LocalTrainer.create(model, { modules: 2 })
  const fields = ['images', 'labels', 'height', 'width', 'mean', 'std', 'augment']
  for (const name of [...fields, 'otherLabels', 'labelShares']) {
    for (const value of junk) {
      const batch = untyped<ImageBatch>({ ...byteBatch(2), [name]: value })
      await tries(async () => void (await trainer.step(batch, { learningRate: 0 })))
    }
  }
  const augmentation = [
    ...['cropPadding', 'cropMode', 'flip', 'randAugmentOps', 'randAugmentMagnitude', 'erasing'],
    ...['mixup', 'cutmix', 'mixProbability', 'seed'],
  ]
  for (const name of augmentation) {
    for (const value of junk) {
      const batch = untyped<ImageBatch>({ ...byteBatch(2), augment: { [name]: value } })
      await tries(async () => void (await trainer.step(batch, { learningRate: 0 })))
    }
  }
  // A handful happens to be valid, such as a mean of -Infinity never, a labelWeight of 0.5 always.
  const names = swin.length + local.length + fields.length + 2 + augmentation.length
  assert.ok(refused > 0.9 * names * junk.length, `refused ${refused} of ${names * junk.length}`)
  await trainer.step(floatBatch(2))
  model.dispose()
})

test.run()

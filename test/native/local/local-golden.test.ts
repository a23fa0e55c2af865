// Five steps of local learning against an implementation in Python that was written from
// docs/method.md, sections 4 to 6.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BackpropTrainer } from '../../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { unitNames } from '../../../lib/local/splits.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import type { Trainer } from '../../../lib/local/trainer.js'
import type { NativeStep, NativeTensors } from '../../../lib/native/contract.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost, same } from '../../helpers/expect.js'
import {
  deviation,
  imagesOf,
  type LocalConfig,
  pick,
  readGolden,
  relative,
  weightsOf,
} from '../../helpers/golden.js'
import { TEST_DEVICE } from '../../helpers/test-device.js'

const golden = readGolden('local')
const { batch, ...sizes } = golden.model
const { learningRate, betas, eps, weightDecay } = golden.optimizer

loadTorch().setThreads(1)

/** A trainer as this file needs it. */
interface Driver {
  readonly modules: Trainer['modules']
  step(step: number): Promise<Pick<NativeStep, 'modules'>>
  readAuxiliary(): Promise<NativeTensors>
  writeAuxiliary(values: NativeTensors): Promise<void>
  dispose(): void
}

function labelled(step: number) {
  return { images: imagesOf(step, batch, sizes.imageSize), labels: golden.labels[step] as number[] }
}

function drive(trainer: Trainer, mixed = false): Driver {
  const batchOf = (step: number) => ({ ...labelled(step), ...(mixed && golden.mixed[step]) })
  return {
    modules: trainer.modules,
    step: (step) => trainer.step(batchOf(step), { learningRate }),
    readAuxiliary: () => trainer.readAuxiliary(),
    writeAuxiliary: (values) => trainer.writeAuxiliary(values),
    dispose: () => trainer.dispose(),
  }
}

async function makeDriver(
  model: SwinTransformer,
  config: LocalConfig,
  chunkSize?: number,
): Promise<Driver> {
  const { labelSmoothing, labelWeight, reconstructionWeight, cuts } = config
  const decoder = config.decoder === 'none' ? 'linear' : config.decoder
  const decoderHidden = golden.convDecoder.hidden
  const optimization = { betas, eps, weightDecay, labelSmoothing }
  if (cuts.length === 0) return drive(await BackpropTrainer.create(model, optimization))
  const names = unitNames(sizes.depths)
  return drive(
    await LocalTrainer.create(model, {
      ...optimization,
      ...{ split: cuts.map((units) => names[units - 1] as string), decoder, decoderHidden },
      ...{ labelWeight, reconstructionWeight },
      method: config.decoder === 'none' ? 'greedy' : 'paper',
      ...(chunkSize !== undefined && { chunkSize }),
    }),
    config.mixed,
  )
}

const isAuxiliary = (name: string) => name.startsWith('auxiliary.')

async function withDriver(
  config: LocalConfig,
  chunkSize: number | undefined,
  work: (driver: Driver, model: SwinTransformer) => Promise<void>,
) {
  await using model = await SwinTransformer.create({ ...sizes, device: TEST_DEVICE })
  const driver = await makeDriver(model, config, chunkSize)
  const weights = weightsOf(config.parameters)
  await model.writeParameters(pick(weights, (name) => !isAuxiliary(name)))
  await driver.writeAuxiliary(pick(weights, isAuxiliary))
  try {
    await work(driver, model)
  } finally {
    driver.dispose()
  }
}

async function comparesWithGolden(driver: Driver, model: SwinTransformer, config: LocalConfig) {
  const initial = weightsOf(config.parameters)
  for (const [step, want] of config.steps.entries()) {
    const { modules } = await driver.step(step)
    // Adam turns the rounding of a gradient that is nearly zero into a step of full length: noise of
    // 1e-7 in the images moves the reference's own later losses by up to 2.1e-5 (cut1-conv).
    const tolerance = step === 0 ? 1e-5 : 5e-5
    assert.is(modules.length, config.modules.length)
    for (const [k, got] of modules.entries()) {
      const at = `step ${step}, module ${k + 1}`
      for (const loss of ['labelLoss', 'reconstructionLoss'] as const) {
        const [mine, expected] = [got[loss], want[loss][k] ?? null]
        // A module without a decoder has no reconstruction loss.
        assert.is(mine === null, expected === null, `${loss}, ${at}`)
        const difference = Math.abs((mine ?? 0) - (expected ?? 0))
        atMost(difference, tolerance * (expected ?? 0), `${loss}, ${at}`)
      }
    }
  }
  const after = { ...(await model.readParameters()), ...(await driver.readAuxiliary()) }
  for (const { name, value, change } of config.parametersAfter) {
    const got = after[name]?.data ?? new Float32Array()
    const before = initial[name]?.data as Float32Array
    atMost(deviation(got, value), 1e-5, `value of ${name}`)
    const moved = Float64Array.from(got, (v, i) => v - (before[i] as number))
    atMost(deviation(moved, change), 5e-4, `change of ${name}`)
  }
  const { data } = await model.predict({ images: imagesOf(5, batch, sizes.imageSize) })
  atMost(relative(data, config.logitsAfter.flat()), 1e-4, 'logits after five steps')
}

for (const [name, config] of Object.entries(golden.configs)) {
  test(`${name}: modules, parameters and their counts`, () =>
    withDriver(config, undefined, async (driver, model) => {
      assert.equal(
        driver.modules.map(({ units, parameterCount, auxiliaryParameterCount }) => ({
          ...{ units, parameterCount, auxiliaryCount: auxiliaryParameterCount },
        })),
        config.modules,
      )
      const names = [...model.parameters().map((p) => p.name)]
      names.push(...Object.keys(await driver.readAuxiliary()))
      assert.equal(names.sort(), config.parameters.map((p) => p.name).sort())
      const reconstructs = config.modules.map(
        (_, k) => config.decoder !== 'none' && k < config.modules.length - 1,
      )
      assert.equal(
        driver.modules.map((module) => module.reconstructs),
        reconstructs,
      )
    }))

  test(`${name}: losses, weights and logits of five steps`, () =>
    withDriver(config, undefined, (driver, model) => comparesWithGolden(driver, model, config)))
}

// A batch of 4: by the sample, unevenly, and at once.
for (const chunkSize of [1, 3, 4]) {
  for (const name of ['stages-linear', 'stages-conv'] as const) {
    const config = golden.configs[name] as LocalConfig
    test(`${name}: the same with the losses in chunks of ${chunkSize}`, () =>
      withDriver(config, chunkSize, (driver, model) => comparesWithGolden(driver, model, config)))
  }
}

test('backprop: local learning with one module gives the same numbers', async () => {
  const config = golden.configs.backprop as LocalConfig
  await using model = await SwinTransformer.create({ ...sizes, device: TEST_DEVICE })
  const { labelSmoothing } = config
  await using trainer = await LocalTrainer.create(model, {
    ...{ modules: 1, betas, eps, weightDecay, labelSmoothing },
  })
  await model.writeParameters(weightsOf(config.parameters))
  await comparesWithGolden(drive(trainer), model, config)
})

test('features between modules have the shapes of the fixture', async () => {
  const config = golden.configs['stages-linear'] as LocalConfig
  await using model = await SwinTransformer.create({ ...sizes, device: TEST_DEVICE })
  await using trainer = await LocalTrainer.create(model)
  let features = await trainer.features(labelled(0))
  // The normalised images, cut into patches.
  const grid = sizes.imageSize / sizes.patchSize
  assert.equal(features.shape, [batch, grid, grid, 3 * sizes.patchSize ** 2])
  const shapes: (readonly number[])[] = []
  for (const module of trainer.modules) {
    const next = await module.forward(features)
    assert.is(next.byteLength, 4 * next.shape.reduce((size, side) => size * side))
    shapes.push(next.shape)
    features.dispose()
    features = next
  }
  features.dispose()
  assert.equal(shapes, [...config.firstFeatures.map(({ shape }) => shape), [batch, sizes.classes]])
})

test('decay spares vectors and bias tables, and reaches every matrix', async () => {
  // After one step from the same weights only decay tells the two apart.
  const run = async (weightDecay: number) => {
    await using model = await SwinTransformer.create({ ...sizes, device: TEST_DEVICE, seed: 1 })
    await using trainer = await LocalTrainer.create(model, { weightDecay })
    await trainer.step(labelled(0), { learningRate })
    return { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
  }
  const [plain, decayed] = [await run(0), await run(10)]
  const isSpared = (name: string) =>
    plain[name]?.shape.length === 1 || name.endsWith('relative_position_bias_table')
  same(pick(plain, isSpared), pick(decayed, isSpared), 'not decayed')
  for (const name of Object.keys(plain).filter((name) => !isSpared(name))) {
    assert.not.equal(decayed[name]?.data, plain[name]?.data, `${name} is decayed`)
  }
})

test.run()

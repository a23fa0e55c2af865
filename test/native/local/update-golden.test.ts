// Clipping by norm and the moving average of the weights against torch's own, five steps of SGD.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as memory from '../../../lib/device/memory.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { unitNames } from '../../../lib/local/splits.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { partsOf } from '../../../lib/local/trainer.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost, changed, rejects, same } from '../../helpers/expect.js'
import {
  type Digest,
  deviation,
  type Formula,
  imagesOf,
  type SwinSizes,
  weightsOf,
} from '../../helpers/golden.js'
import { TEST_DEVICE } from '../../helpers/test-device.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

interface UpdateGolden {
  readonly model: SwinSizes
  readonly optimizer: { learningRate: number; momentum: number; weightDecay: number }
  readonly clipNorm: number
  readonly decay: number
  readonly cuts: readonly number[]
  readonly labelSmoothing: number
  /** By step and module. */
  readonly gradientNorms: readonly (readonly number[])[]
  readonly labelLoss: readonly (readonly number[])[]
  readonly averages: readonly { name: string; value: Digest }[]
  readonly evaluationOfAverages: readonly { lossSum: number; correct: number }[]
  readonly labels: readonly (readonly number[])[]
  readonly parameters: readonly Formula[]
}

const golden: UpdateGolden = JSON.parse(
  readFileSync(
    fileURLToPath(new URL('../../../../test/fixtures/golden/update.json', import.meta.url)),
    'utf8',
  ),
)
const { batch, ...sizes } = golden.model
const { momentum, weightDecay, learningRate } = golden.optimizer
const { clipNorm } = golden

loadTorch().setThreads(1)

const labelled = (step: number) => ({
  images: imagesOf(step, batch, sizes.imageSize),
  labels: golden.labels[step] as number[],
})

async function create() {
  const model = await SwinTransformer.create({ ...sizes, device: TEST_DEVICE })
  const names = unitNames(sizes.depths)
  const trainer = await LocalTrainer.create(model, {
    split: golden.cuts.map((units) => names[units - 1] as string),
    ...{ optimizer: 'sgd', momentum, weightDecay, labelSmoothing: golden.labelSmoothing },
  })
  const [network, auxiliary] = partsOf(weightsOf(golden.parameters))
  await model.writeParameters(network)
  await trainer.writeAuxiliary(auxiliary)
  return { model, trainer }
}

test('gradient norms, losses and averages of five steps are those of torch', async () => {
  const { model, trainer } = await create()
  await trainer.keepAverage(golden.decay)
  for (const [step, norms] of golden.gradientNorms.entries()) {
    const { modules } = await trainer.step(labelled(step), { learningRate, clipNorm })
    for (const [k, want] of norms.entries()) {
      const got = modules[k]
      const at = `step ${step}, module ${k + 1}`
      atMost(Math.abs((got?.gradientNorm ?? 0) - want) / want, 2e-5, `norm, ${at}`)
      const loss = golden.labelLoss[step]?.[k] as number
      atMost(Math.abs((got?.labelLoss ?? 0) - loss) / loss, 1e-5, `label loss, ${at}`)
    }
  }
  const averages = await trainer.readAverage()
  for (const { name, value } of golden.averages) {
    atMost(deviation(averages[name]?.data ?? [], value), 1e-5, `average of ${name}`)
  }
  const before = await model.readParameters()
  const heads = await trainer.evaluate(labelled(golden.gradientNorms.length))
  for (const [k, want] of golden.evaluationOfAverages.entries()) {
    atMost(Math.abs((heads[k]?.lossSum ?? 0) / want.lossSum - 1), 1e-5, `loss of head ${k}`)
    assert.is(heads[k]?.correct, want.correct)
  }
  same(before, await model.readParameters(), 'weights after the evaluation of their average')
  model.dispose()
})

test('gradients below the norm are taken as they are, bit for bit, and their norm is told', async () => {
  const run = async (options: object) => {
    const { model, trainer } = await create()
    const { modules } = await trainer.step(labelled(0), { learningRate, ...options })
    const weights = { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
    model.dispose()
    return { weights, norms: modules.map(({ gradientNorm }) => gradientNorm) }
  }
  const [plain, far, near] = [
    await run({}),
    await run({ clipNorm: 1e6 }),
    await run({ clipNorm: 6 }),
  ]
  assert.equal(plain.norms, [null, null, null, null])
  assert.ok(far.norms.every((norm) => norm !== null && norm > 0))
  same(plain.weights, far.weights, 'weights')
  // The second module's norm, 4.4, is below 6; the others' are not.
  const touched = changed(plain.weights, near.weights)
  assert.ok(touched.some((name) => name.startsWith('layers.0.')))
  assert.ok(!touched.some((name) => name.startsWith('layers.1.') || name.startsWith('auxiliary.1')))
})

test('an average takes as much memory as the weights, and is given back', async () => {
  const model = await SwinTransformer.create({ ...TINY, device: TEST_DEVICE })
  const trainer = await LocalTrainer.create(model, { modules: 4 })
  const before = memory.allocated(TEST_DEVICE)
  const bytes = trainer.modules.reduce(
    (sum, module) => sum + 4 * (module.parameterCount + module.auxiliaryParameterCount),
    0,
  )
  await trainer.keepAverage(0.9)
  const taken = memory.allocated(TEST_DEVICE) - before
  atMost(bytes, taken, 'bytes of the weights')
  atMost(taken, 1.5 * bytes, 'and little more, for what blocks are rounded up to')
  await trainer.step(floatBatch(2))
  await trainer.keepAverage()
  assert.is(memory.allocated(TEST_DEVICE), before)
  assert.equal(await trainer.readAverage(), {})
  model.dispose()
})

test('the average starts at the weights, and is applied', async () => {
  const model = await SwinTransformer.create({ ...TINY, device: TEST_DEVICE })
  const trainer = await LocalTrainer.create(model, { modules: 2 })
  const weights = async () => ({
    ...(await model.readParameters()),
    ...(await trainer.readAuxiliary()),
  })
  await trainer.keepAverage(0.5)
  same(await weights(), await trainer.readAverage(), 'average before a step')
  await trainer.step(floatBatch(4))
  const average = await trainer.readAverage()
  const answers = await trainer.evaluate(floatBatch(4))
  await trainer.applyAverage()
  same(average, await weights(), 'weights')
  assert.is(trainer.averageDecay, undefined)
  assert.equal(await trainer.evaluate(floatBatch(4)), answers)
  model.dispose()
})

test('a module driven alone is clipped and averaged too', async () => {
  const { model, trainer } = await create()
  await trainer.keepAverage(0)
  const features = await trainer.features(labelled(0))
  const [first] = trainer.modules
  const result = await first?.step(features, labelled(0).labels, { learningRate, clipNorm })
  result?.features.dispose()
  features.dispose()
  const want = golden.gradientNorms[0]?.[0] as number
  atMost(Math.abs((result?.gradientNorm ?? 0) / want - 1), 2e-5, 'norm')
  const now = { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
  same(now, await trainer.readAverage(), 'an average without a memory')
  model.dispose()
})

test('gradients that are no numbers leave the weights alone', async () => {
  const { model, trainer } = await create()
  // The loss stays finite: the norm of its gradient overflows in float32.
  const huge = weightsOf(golden.parameters)['head.fc.weight']
  assert.ok(huge)
  await model.writeParameters({
    'norm.weight': { shape: [128], data: new Float32Array(128).fill(1e-30) },
    'head.fc.weight': { shape: huge.shape, data: huge.data.map((v) => v * 1e30) },
  })
  const before = await model.readParameters()
  const error = await rejects(
    () => trainer.step(labelled(0), { learningRate, clipNorm }),
    'ERR_NON_FINITE',
    'norm of the gradients of module 4',
  )
  assert.is(error.module, 'module 4')
  const touched = changed(before, await model.readParameters())
  assert.ok(touched.every((name) => !name.startsWith('layers.3.') && !/^(norm|head)\./.test(name)))
  model.dispose()
})

test('what cannot be is told', async () => {
  const { model, trainer } = await create()
  for (const clipNorm of [0, -1, Number.NaN, '1']) {
    const options = { clipNorm } as object
    await rejects(() => trainer.step(labelled(0), options), 'ERR_CONFIG', 'clipNorm')
  }
  for (const decay of [1, -0.1, Number.NaN, '0.5']) {
    await rejects(() => trainer.keepAverage(decay as number), 'ERR_CONFIG', 'decay')
  }
  model.dispose()
})

test.run()

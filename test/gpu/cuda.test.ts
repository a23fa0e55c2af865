// What has to be computed on a CUDA device. On a machine without one every test is skipped; what needs
// no arithmetic is in memory.test.ts.
import { test as plain } from 'uvu'
import * as assert from 'uvu/assert'
import { cudaDeviceCount, whyNoCuda } from '../../lib/device/device.js'
import { BackpropTrainer } from '../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import type { Trainer } from '../../lib/local/trainer.js'
import { atMost } from '../helpers/expect.js'
import { byteBatch, floatBatch, TINY } from '../helpers/tiny.js'

const count = cudaDeviceCount()
if (count === 0) console.log(`SKIP: ${whyNoCuda()}`)
const test = count === 0 ? plain.skip : plain

const ON_CUDA = { ...TINY, device: 'cuda' } as const
const BATCH = 32

test('auto takes the first device and says why', async () => {
  await using model = await SwinTransformer.create({ ...TINY, device: 'auto' })
  assert.is(model.device, 'cuda:0')
  assert.match(model.deviceReason, 'CUDA')
})

for (const [name, create] of [
  ['backprop', (model: SwinTransformer) => BackpropTrainer.create(model)],
  ['paper:4', (model: SwinTransformer) => LocalTrainer.create(model)],
  ['conv', (model: SwinTransformer) => LocalTrainer.create(model, { decoder: 'conv' })],
] as const) {
  test(`${name}: losses are those of the CPU within 1e-3`, async () => {
    const run = async (device: 'cpu' | 'cuda') => {
      await using model = await SwinTransformer.create({ ...TINY, device })
      const trainer: Trainer = await create(model)
      const losses: number[] = []
      for (let step = 0; step < 3; step++) {
        const { modules } = await trainer.step(floatBatch(BATCH, step))
        for (const module of modules)
          losses.push(module.labelLoss ?? 0, module.reconstructionLoss ?? 0)
      }
      return losses
    }
    const [onCpu, onCuda] = [await run('cpu'), await run('cuda')]
    onCpu.forEach((loss, i) => {
      atMost(Math.abs((onCuda[i] as number) - loss), 1e-3 * loss, `loss ${i}`)
    })
  })
}

test('a local step learns on the device, one module after another', async () => {
  await using model = await SwinTransformer.create(ON_CUDA)
  const trainer = await LocalTrainer.create(model)
  const first = await trainer.step(byteBatch(BATCH), { learningRate: 3e-3 })
  let last = first
  for (let step = 0; step < 30; step++) {
    last = await trainer.step(byteBatch(BATCH), { learningRate: 3e-3 })
  }
  assert.equal(
    last.modules.map((module) => module.modulesWithGradients),
    [[0], [1], [2], [3]],
  )
  const lossOf = (step: typeof last) => step.modules.at(-1)?.labelLoss as number
  atMost(lossOf(last), 0.9 * lossOf(first), "the classifier's loss")
})

plain.run()

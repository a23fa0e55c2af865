// What float32 is rounded to is a global of the process: every piece of work computes in its own.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { PRECISIONS, type Precision } from '../../../lib/local/words.js'
import { loadTorch } from '../../../lib/native/load.js'
import { changed, same } from '../../helpers/expect.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

const torch = loadTorch()
const BATCH = { ...floatBatch(4), mean: [0, 0, 0], std: [1, 1, 1] }

/** Both kinds follow the option, and cuDNN computes in the same way every time. */
function computedIn(precision: Precision, what: string): void {
  assert.equal(
    torch.arithmetic(),
    {
      ...{ products: precision, convolutions: precision },
      ...{ deterministicCudnn: true, benchmarkCudnn: false },
    },
    what,
  )
}

async function pair(precision: Precision) {
  const model = await SwinTransformer.create(TINY)
  const trainer = await LocalTrainer.create(model, { modules: 2, decoder: 'conv', precision })
  return { model, trainer, precision }
}

test('trainers of two precisions in one process each compute in their own', async () => {
  const [ieee, tf32] = [await pair('ieee'), await pair('tf32')]
  const works = {
    step: ({ trainer }) => trainer.step(BATCH),
    evaluate: ({ trainer }) => trainer.evaluate(BATCH),
    predict: ({ trainer }) => trainer.predict(BATCH),
    reconstruct: ({ trainer }) => trainer.reconstruct(BATCH),
    'module.step': async ({ trainer }) => {
      using features = await trainer.features(BATCH)
      const { features: next } = (await trainer.modules[0]?.step(features, BATCH.labels)) ?? {}
      next?.dispose()
    },
    'module.forward': async ({ trainer }) => {
      using features = await trainer.features(BATCH)
      const next = await trainer.modules[0]?.forward(features)
      next?.dispose()
    },
  } satisfies Record<string, (one: typeof ieee) => Promise<unknown>>
  for (const [name, work] of Object.entries(works)) {
    for (const one of [tf32, ieee, tf32]) {
      await work(one)
      computedIn(one.precision, `${name}, ${one.precision}`)
    }
  }
  // A network without a trainer has no say.
  await tf32.model.predict(BATCH)
  computedIn('ieee', 'model.predict')
  for (const { model } of [ieee, tf32]) model.dispose()
})

test('steps that are asked for at once are each in their own', async () => {
  const [ieee, tf32] = [await pair('ieee'), await pair('tf32')]
  await Promise.all([ieee.trainer.step(BATCH), tf32.trainer.step(BATCH)])
  computedIn('tf32', 'the last one')
  await Promise.all([tf32.trainer.step(BATCH), ieee.trainer.step(BATCH)])
  computedIn('ieee', 'the last one')
  for (const { model } of [ieee, tf32]) model.dispose()
})

test('on the CPU both are the same, bit for bit', async () => {
  const weights = []
  for (const precision of PRECISIONS) {
    const { model, trainer } = await pair(precision)
    const before = await model.readParameters()
    for (const step of [0, 1]) await trainer.step(floatBatch(6, step))
    const after = await model.readParameters()
    assert.ok(changed(before, after).length > 0)
    weights.push({ ...after, ...(await trainer.readAuxiliary()) })
    model.dispose()
  }
  const [ieee = {}, tf32 = {}] = weights
  same(tf32, ieee, 'weights')
})

test.run()

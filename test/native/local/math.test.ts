// What computes products on the CPU is an option of a trainer; small ones are the default's unless oneDNN
// is asked for.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer, type Tensors } from '../../../lib/local/swin-transformer.js'
import { DTYPES, type Dtype, MATHS, type MathMode } from '../../../lib/local/words.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost, changed, same } from '../../helpers/expect.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

const torch = loadTorch()

/** Two steps, by themselves and module by module. */
async function trained(math: MathMode, dtype: Dtype) {
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, {
    modules: 2,
    decoder: 'conv',
    dtype,
    math,
  })
  const { modules, seconds, tuningSeconds } = await trainer.step(floatBatch(6))
  assert.ok(seconds > 0)
  assert.is(tuningSeconds, 0)
  using features = await trainer.features(floatBatch(6, 1))
  const first = await trainer.modules[0]?.step(features, floatBatch(6, 1).labels)
  first?.features.dispose()
  const [logits] = await trainer.predict(floatBatch(6))
  const state = await trainer.readState()
  return {
    loss: modules[1]?.labelLoss ?? Number.NaN,
    logits: Array.from(logits?.data ?? []),
    weights: { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) },
    products: state.products,
  }
}

for (const dtype of DTYPES) {
  test(`${dtype}: small networks measure nothing, and are the default's`, async () => {
    const before = torch.measuredProducts()
    const [tuned, mkl] = [await trained('tuned', dtype), await trained('mkl', dtype)]
    // Where it has instructions for the type (test/process/products.test.ts has it without).
    const isNative = torch.productBackends('forward', dtype).includes('onednn')
    if (isNative) same(tuned.weights, mkl.weights, 'weights')
    assert.is(torch.measuredProducts(), before)
    assert.ok(Array.isArray(tuned.products))
    assert.is(mkl.products, null)
  })

  test(`${dtype}: oneDNN gives the same but for rounding, every time the same`, async () => {
    const [mkl, one, again] = [
      await trained('mkl', dtype),
      await trained('onednn', dtype),
      await trained('onednn', dtype),
    ]
    same(again.weights, one.weights, 'weights')
    const tolerance = dtype === 'float32' ? 1e-4 : 0.1
    atMost(Math.abs(one.loss - mkl.loss), tolerance, 'loss')
    for (const [i, logit] of mkl.logits.entries()) {
      atMost(Math.abs((one.logits[i] as number) - logit), tolerance, `logit ${i}`)
    }
  })
}

test('modes in turn each keep their own', async () => {
  const alone: Tensors[] = []
  for (const math of MATHS) alone.push((await trained(math, 'float32')).weights)
  const together = await Promise.all(MATHS.map((math) => trained(math, 'float32')))
  for (const [i, { weights }] of together.entries()) same(weights, alone[i] ?? {}, MATHS[i] ?? '')
  const [tuned, onednn] = [MATHS.indexOf('tuned'), MATHS.indexOf('onednn')].map(
    (i) => alone[i] ?? {},
  )
  assert.ok(changed(tuned ?? {}, onednn ?? {}).length > 0, 'oneDNN gives other last digits')
})

test.run()

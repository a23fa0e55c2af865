// What native code tells of a step against the tables: the same names, and null where there is nothing
// to tell.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import type { StepOptions } from '../../../lib/local/trainer.js'
import { rowsOf } from '../../../lib/metrics/metric.js'
import { MODULE_METRICS } from '../../../lib/metrics/module-metrics.js'
import { STEP_METRICS } from '../../../lib/metrics/step-metrics.js'
import { loadTorch } from '../../../lib/native/load.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const COUNT = 6

async function stepOf(options: LocalOptions, step: StepOptions = {}) {
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, options)
  return trainer.step(floatBatch(COUNT), step)
}

/** Of each module, which of what can be asked for it lacks. */
const nulls = ({ modules }: Awaited<ReturnType<typeof stepOf>>) =>
  modules.map((module) =>
    (['reconstructionLoss', 'penalty', 'gradientNorm'] as const).filter(
      (name) => module[name] === null,
    ),
  )

test('every row is a field of native code, and every field a row or one of the others', async () => {
  const step = await stepOf({})
  const others = ['learned', 'correct', 'allocatedBytesAfter', 'featureBytes']
  for (const module of step.modules) {
    assert.equal(
      Object.keys(module).sort(),
      [...Object.keys(MODULE_METRICS), ...others, 'modulesWithGradients'].sort(),
    )
  }
  // The others are the training loop's own.
  const { learningRate: _, imagesPerSecond: __, waitSeconds: ___, ...native } = STEP_METRICS
  assert.equal(Object.keys(step).sort(), [...Object.keys(native), 'modules'].sort())
})

test('a module has the losses that were asked for, the others are null', async () => {
  const asked = { clipNorm: 1 }
  const [none, decoder] = [['reconstructionLoss', 'penalty'], ['penalty']] as const
  assert.equal(nulls(await stepOf({}, asked)), [decoder, decoder, decoder, none])
  assert.equal(nulls(await stepOf({ method: 'greedy' }, asked)), [none, none, none, none])
  const decoderless = ['reconstructionLoss']
  assert.equal(
    nulls(await stepOf({ method: 'trgl' }, asked)),
    Array.from({ length: 4 }, () => decoderless),
  )
  assert.equal(nulls(await stepOf({ penaltyWeight: 1 }))[0], ['gradientNorm'])
  // Of weight 0 a decoder still has its loss.
  assert.equal(nulls(await stepOf({ reconstructionWeight: 0 }, asked))[0], decoder)
})

test('a module without a residual branch has no penalty', async () => {
  for (const recompute of ['none', 'block'] as const) {
    const { modules } = await stepOf({ method: 'trgl', split: ['patch_embed'], recompute })
    assert.is(modules[0]?.penalty, null)
    assert.ok((modules[1]?.penalty ?? 0) > 0)
  }
})

test('a module that passes features on has neither losses nor accuracy', async () => {
  const { modules } = await stepOf(
    { penaltyWeight: 1 },
    { learningRate: [null, 1e-3], clipNorm: 1 },
  )
  const [passing, learning] = modules
  assert.is(passing?.learned, false)
  assert.is(passing?.correct, null)
  for (const [name, { given }] of rowsOf(MODULE_METRICS)) {
    assert.is(passing?.[name] === null, given !== 'always', name)
    assert.is.not(learning?.[name], null, name)
  }
  assert.is(learning?.accuracy, (learning?.correct ?? Number.NaN) / COUNT)
})

test.run()

// A balanced split against every other: heads, decoders and their optimizer state count.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { loadTorch } from '../../../lib/native/load.js'
import { same } from '../../helpers/expect.js'
import { everyCut, stepPeak } from '../../helpers/step-peak.js'
import { TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const CASES: readonly [LocalOptions, number, number][] = [
  // At this size stages were less than what was called balanced.
  [{ method: 'paper', decoder: 'conv' }, 2, 64],
  [{ method: 'paper' }, 3, 8],
  [{ method: 'greedy', head: 'later-stages' }, 2, 16],
  [{ method: 'paper', recompute: 'block', optimizer: 'sgd' }, 2, 16],
]

for (const [options, modules, batch] of CASES) {
  const parts = Object.values(options).join(' ')
  test(`${parts}: ${modules} modules, ${batch} images: within 3 % of the best cut`, async () => {
    const micro = { variant: 'micro', imageSize: 32 } as const
    const balanced = await stepPeak(micro, { ...options, modules, split: 'balanced' }, batch)
    const stages = await stepPeak(micro, { ...options, modules, split: 'stages' }, batch)
    assert.ok(balanced.bytes <= stages.bytes, `${balanced.bytes} of ${stages.bytes} by stages`)
    let best = Number.POSITIVE_INFINITY
    for (const split of everyCut([1, 1, 2, 1], modules)) {
      best = Math.min(best, (await stepPeak(micro, { ...options, split }, batch)).bytes)
    }
    assert.ok(balanced.bytes <= 1.03 * best, `${balanced.bytes} of ${best} at ${balanced.cuts}`)
  })
}

test('measuring leaves weights as they are, no gradient and no memory behind', async () => {
  await using model = await SwinTransformer.create(TINY)
  const before = await model.readParameters()
  const { LocalTrainer } = await import('../../../lib/local/local-trainer.js')
  const memory = await import('../../../lib/device/memory.js')
  const bytes = memory.allocated('cpu')
  const trainer = await LocalTrainer.create(model, { split: 'balanced', modules: 3 })
  trainer.dispose()
  assert.is(memory.allocated('cpu'), bytes)
  same(before, await model.readParameters(), 'weights')
})

test.run()

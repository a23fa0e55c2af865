// A steady step takes no fresh page from the system: that costs more than the arithmetic on it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BackpropTrainer } from '../../lib/local/backprop-trainer.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import type { Dtype, Recompute } from '../../lib/local/words.js'
import { floatBatch, SLOW } from '../helpers/tiny.js'

const STEPS = 6

for (const [dtype, recompute] of [
  ['float32', 'none'],
  ['float32', 'selective'],
  ['bfloat16', 'none'],
] satisfies [Dtype, Recompute][]) {
  test(`${dtype}, recompute=${recompute}`, async () => {
    await using model = await SwinTransformer.create(SLOW)
    await using trainer = await BackpropTrainer.create(model, { dtype, recompute })
    const batch = floatBatch(32)
    const faults: number[] = []
    for (let step = 0; step < STEPS; step++) {
      const before = process.resourceUsage().minorPageFault
      await trainer.step(batch)
      faults.push(process.resourceUsage().minorPageFault - before)
    }
    // JavaScript's own heap grows now and then: the calmest of the later steps tells.
    const steady = Math.min(...faults.slice(2))
    assert.ok(steady < 64, `page faults of the steps: ${faults.join(', ')}`)
  })
}

test.run()

// A steady step takes no fresh page from the system: that costs more than the arithmetic on it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRunSpec } from '../../lib/local/run-spec.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { createTrainer } from '../../lib/local/trainer-of-spec.js'
import { floatBatch, SLOW } from '../helpers/tiny.js'

const STEPS = 6

for (const spec of [
  'backprop',
  'backprop,recompute=selective',
  'backprop,recompute=block',
  'backprop,dtype=bfloat16',
  'backprop,dtype=bfloat16,recompute=selective',
  'paper:2',
  'paper:2,recompute=selective',
]) {
  test(spec, async () => {
    await using model = await SwinTransformer.create(SLOW)
    await using trainer = await createTrainer(model, parseRunSpec(spec))
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

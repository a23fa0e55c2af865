// A steady step takes no fresh page from the system: that costs more than the arithmetic on it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { median } from '../../lib/base/median.js'
import { parseRunSpec } from '../../lib/local/run-spec.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { createTrainer } from '../../lib/local/trainer-of-spec.js'
import { floatBatch, SLOW } from '../helpers/tiny.js'

const STEPS = 8

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
    // JavaScript's own heap grows now and then: most of the later steps tell.
    assert.ok(median(faults.slice(2)) < 64, `page faults of the steps: ${faults.join(', ')}`)
  })
}

test.run()

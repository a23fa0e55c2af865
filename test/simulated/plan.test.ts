// What plan calls the largest batch that is possible is the largest that trains, in a process of its own
// whose only limit is the card.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { randomPlans, tryPlan } from '../helpers/card-trial.js'

const PLANS = randomPlans(7, 3, {
  cards: ['1GiB,sm_86', '1536MiB,sm_80', '1200MiB,sm_90'],
  networks: [
    ['micro', 224],
    ['tiny', 224],
  ],
  runs: [
    'backprop',
    'backprop,recompute=block',
    'paper:4,recompute=none',
    'paper:2,split=balanced',
    'paper:4,dtype=bfloat16',
    'greedy:4,recompute=block',
  ],
})

for (const one of PLANS) {
  const { run, variant, imageSize, card } = one
  test(`${run}, ${variant} at ${imageSize} px on a card of ${card}`, async () => {
    const { safe, possible, trained, trainedNext } = await tryPlan(one)
    assert.ok(safe <= possible, `${safe} fit, ${possible} run`)
    assert.ok(possible > 0, 'a batch fits')
    assert.is(trained, 2, `${possible} images were planned and do not train`)
    assert.ok(trainedNext < 2, `${possible + 1} images train too`)
  })
}

test.run()

// What plan calls the largest batch that is possible is the largest that trains, in a process of its own
// whose only limit is the card; and what a balanced split measures is gone before it trains.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { resolveInput } from '../../lib/config/resolve.js'
import { DryRunner } from '../../lib/plan/dry-runner.js'
import { requestOf, withRun } from '../../lib/plan/request.js'
import { gpuTarget } from '../../lib/plan/target.js'
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

test('a balanced split takes what the same cuts take that were not measured', async () => {
  const model = { variant: 'micro', imageSize: 224 } as const
  const balanced = resolveInput({
    ...{ run: 'paper:2,split=balanced,recompute=block', model },
    training: { batchSize: 512 },
  })
  await using runner = await DryRunner.start(gpuTarget('2GiB,sm_86'))
  const tried = async (config: typeof balanced) => {
    const result = await runner.run({ ...requestOf(config, 10), limitBytes: 0 })
    if (result.status !== 'ok') throw new Error(result.message)
    return result
  }
  const measured = await tried(balanced)
  const cuts = `paper:2,split=${measured.cuts.join('+')},recompute=block`
  const pinned = await tried(withRun(balanced, cuts))
  assert.is(measured.peakAllocatedBytes, pinned.peakAllocatedBytes)
  assert.is(measured.peakReservedBytes, pinned.peakReservedBytes)
})

test.run()

// Which groups of processes measure a run, what is refused before they start, what they come to together.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRunSpec } from '../../../lib/local/run-spec.js'
import type { Measurement } from '../../../lib/measure/measurement.js'
import {
  arrangementsOf,
  checkArrangement,
  comparedRanks,
  measurementOf,
} from '../../../lib/measure/rank-group.js'
import { rejects } from '../../helpers/expect.js'

test('one process for 1, each way of sharing for more', async () => {
  assert.equal(arrangementsOf(), [{ ranks: 1, parallel: null }])
  assert.equal(arrangementsOf([1, 2], ['modules']), [
    { ranks: 1, parallel: null },
    { ranks: 2, parallel: 'modules' },
  ])
  assert.equal(
    arrangementsOf([4]).map(({ parallel }) => parallel),
    ['data', 'modules'],
  )
  for (const ranks of [[], [0], [1.5], [Number.NaN], [2, 2], 2, ['2']]) {
    await rejects(() => arrangementsOf(ranks), 'ERR_CONFIG', 'different whole numbers')
  }
  for (const parallel of [[], ['modules', 'modules'], ['rows'], 'data']) {
    await rejects(() => arrangementsOf([2], parallel), 'ERR_CONFIG', 'a list of data, modules')
  }
})

test('what cannot be shared is refused with its run', async () => {
  const check = (run: string, ranks: number, parallel: 'data' | 'modules', batchSize = 8) => {
    const spec = parseRunSpec(run)
    checkArrangement({ ranks, parallel }, { spec, modules: spec.modules, batchSize })
  }
  check('paper:2', 2, 'modules')
  check('paper:2', 8, 'data')
  check('infopro:2', 2, 'modules')
  const refused = (run: string, ranks: number, parallel: 'data' | 'modules', text: string) =>
    rejects(() => check(run, ranks, parallel), 'ERR_CONFIG', text)
  await refused('paper:2', 3, 'modules', 'paper:2: 3 ranks are more than its 2 modules')
  await refused('backprop', 2, 'modules', 'backprop: 2 ranks are more than its 1 module')
  await refused('paper:2', 3, 'data', 'paper:2: a batch of 8 images cannot be shared by 3 ranks')
  await refused('infopro:2', 2, 'data', 'infopro normalises over the whole batch')
  await refused('paper:2,offload=optimizer', 2, 'data', 'offload is for one process')
})

/** Of a rank with two of four modules. */
function rankOf(rank: number, stepSeconds: readonly number[], peak: number): Measurement {
  const modules = [0, 1, 2, 3].map((k) => ({ name: `module ${k + 1}`, labelLoss: 10 * rank + k }))
  return {
    ...{ residentBytes: 5, peakAllocatedBytes: peak, peakReservedBytes: peak, peakRssBytes: 9 },
    ...{ stepSeconds, tuningSeconds: rank, perModule: modules },
    group: { modules: [2 * rank, 2 * rank + 2], sentBytes: 3, receivedBytes: 4, waitedShare: 0.5 },
  } as unknown as Measurement
}

test('a group takes what its largest rank takes, and as long as its slowest', () => {
  const ranks = [rankOf(0, [1, 1, 1], 70), rankOf(1, [1, 2, 3], 60)]
  const { peakAllocatedBytes, stepSeconds, tuningSeconds, perModule } = measurementOf(ranks)
  assert.equal([peakAllocatedBytes, stepSeconds, tuningSeconds], [70, [1, 2, 3], 1])
  // Each module by the rank that has it.
  assert.equal(
    perModule.map(({ labelLoss }) => labelLoss),
    [0, 1, 12, 13],
  )
  const [, second] = comparedRanks(ranks)
  assert.equal(second, {
    ...{ rank: 1, modules: ['module 3', 'module 4'], residentBytes: 5, peakAllocatedBytes: 60 },
    ...{ peakRssBytes: 9, sentBytes: 3, receivedBytes: 4, waitedShare: 0.5 },
  })
  assert.equal(comparedRanks([{ ...ranks[0], group: null } as unknown as Measurement]), [])
})

test.run()

// Parts of `npm run bench:plan`: what counts as wrong, and how orders are compared.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isKept } from '../../bench/plan/cards.js'
import { type MemoryRow, memoryFaults } from '../../bench/plan/memory.js'
import { rankCorrelation } from '../../bench/plan/time.js'

const ROW: MemoryRow = {
  ...{ run: 'paper:4', imageSize: 32, batchSize: 8 },
  ...{ plannedBytes: 1000, measuredBytes: 1000, error: 0, worstModuleError: 0 },
  ...{ trainsAbove: true, failsPlanned: 'module 1, forward', failsMeasured: 'module 1, backward' },
}

test('a plan is right where the peak is, and the module that runs out of memory', () => {
  assert.equal(memoryFaults([ROW]), [])
  assert.equal(memoryFaults([{ ...ROW, error: -0.0049 }]), [])
  const faults = (changes: Partial<MemoryRow>) => memoryFaults([{ ...ROW, ...changes }]).join()
  assert.match(faults({ error: -0.0051 }), /off by -0.51 %/)
  assert.match(faults({ error: 0.0051 }), /off by 0.51 %/)
  assert.match(faults({ trainsAbove: false }), /no step at 0.5 % above/)
  assert.match(faults({ failsMeasured: null }), /a step at 10 % below/)
  assert.match(faults({ failsMeasured: 'module 2, forward' }), /in module 2.*planned in module 1/)
})

test('a largest batch is kept where both of its steps run, and not both of the next', () => {
  const batch = { possible: 8, safe: 7 }
  assert.ok(isKept({ ...batch, trained: 2, trainedNext: 1 }))
  assert.not.ok(isKept({ ...batch, trained: 1, trainedNext: 0 }))
  assert.not.ok(isKept({ ...batch, trained: 2, trainedNext: 2 }))
})

test('the rank correlation looks at order alone', () => {
  assert.is(rankCorrelation([1, 2, 3, 4], [10, 20, 1000, 1001]), 1)
  assert.is(rankCorrelation([1, 2, 3, 4], [4, 3, 2, 1]), -1)
  // Of Spearman's formula without ties: 1 - 6 (1 + 1) / (4 * 15).
  assert.ok(Math.abs(rankCorrelation([1, 2, 3, 4], [2, 1, 3, 4]) - 0.8) < 1e-12)
  assert.ok(Math.abs(rankCorrelation([1, 1, 2], [1, 1, 2]) - 1) < 1e-12)
})

test.run()

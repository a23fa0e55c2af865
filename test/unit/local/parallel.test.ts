import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { divisionOf, resolveParallel } from '../../../lib/local/parallel.js'
import { evenEnds } from '../../../lib/local/timed-ends.js'

test('costs are cut so that the most costly run costs least', () => {
  assert.equal(evenEnds([1, 1, 1, 1], 2), [2, 4])
  assert.equal(evenEnds([5, 1, 1, 1], 2), [1, 4])
  assert.equal(evenEnds([1, 1, 1, 5], 2), [3, 4])
  assert.equal(evenEnds([3, 1, 4, 1, 5, 9, 2, 6], 3), [4, 6, 8])
  assert.equal(evenEnds([2, 2, 2], 3), [1, 2, 3])
  assert.equal(evenEnds([2, 2, 2], 1), [3])
})

test('no other cut of costs is better', () => {
  const costs = [4, 8, 1, 3, 3, 9, 2, 7]
  const mostOf = (ends: readonly number[]) =>
    Math.max(
      ...ends.map((end, k) =>
        costs.slice(ends[k - 1] ?? 0, end).reduce((sum, one) => sum + one, 0),
      ),
    )
  const found = mostOf(evenEnds(costs, 3))
  for (let a = 1; a < 7; a++) {
    for (let b = a + 1; b < 8; b++) assert.ok(found <= mostOf([a, b, 8]))
  }
})

test('ranks are numbered stage by stage', () => {
  const of = (rank: number) => divisionOf([1, 4], { rank, worldSize: 4 })
  const parts = [0, 1, 2, 3].map((rank) => {
    const { stage, replica, first, last } = of(rank)
    return [stage, replica, first, last]
  })
  assert.equal(parts, [
    [0, 0, 0, 1],
    [0, 1, 0, 1],
    [1, 0, 1, 4],
    [1, 1, 1, 4],
  ])
})

test('a stage a rank is the default of modules, and one stage of data', () => {
  const at = { modules: 4, worldSize: 4 }
  assert.is(resolveParallel({ parallel: 'modules' }, at).stages, 4)
  assert.is(resolveParallel({}, at).stages, 1)
  assert.is(resolveParallel({ parallel: 'modules', stages: 2 }, at).stages, 2)
})

for (const [options, at, message] of [
  [{ parallel: 'modules' }, { modules: 2, worldSize: 3 }, /more than the 2 modules/],
  [{ parallel: 'modules', stages: 3 }, { modules: 4, worldSize: 4 }, /a divisor of the 4 ranks/],
  [{ parallel: 'data', stages: 2 }, { modules: 4, worldSize: 4 }, /1 with parallel `data`/],
  [{ parallel: 'pipeline' }, { modules: 4, worldSize: 4 }, /one of data, modules/],
  [{ inFlight: -1 }, { modules: 4, worldSize: 4 }, /from 0 to 64/],
] as const) {
  test(`${JSON.stringify(options)} for ${at.modules} modules on ${at.worldSize} ranks is refused`, () => {
    assert.throws(() => resolveParallel(options as never, at), message)
  })
}

test.run()

// The search for a balanced cut, with costs that are made up.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { balance, bestCut, bytesOf, type ModuleCost } from '../../../lib/local/balance.js'

/** Peaks by the number of units; what is kept by where a module ends. */
const costOf = (begin: number, end: number): ModuleCost => ({
  residentBytes: [0, 90, 5, 40, 5, 0][end] ?? 0,
  peakBytes: 10 * (end - begin),
})

test('what all modules keep counts beside what the largest takes', () => {
  const cut = bestCut(5, 2, costOf)
  // 2 + 3 units: 5 + 30; 3 + 2 would be as flat, and keeps 40.
  assert.equal(cut, { ends: [2, 5], bytes: 35 })
  assert.is(bytesOf([3, 5], costOf), 70)
})

test('every number of modules up to one a unit has a cut', () => {
  for (const modules of [1, 2, 3, 4, 5]) {
    const { ends } = bestCut(5, modules, costOf)
    assert.is(ends.length, modules)
    assert.is(ends.at(-1), 5)
    assert.equal([...new Set(ends)].length, modules)
  }
})

test('an estimate that is too low misleads for one measurement only', async () => {
  let count = 0
  const ends = await balance({
    ...{ units: 5, modules: 2, rival: [1, 5] },
    estimate: (begin, end) => (end === 3 ? 1 : costOf(begin, end).peakBytes),
    measure: async (begin, end) => {
      count++
      return costOf(begin, end)
    },
  })
  assert.equal(ends, [2, 5])
  assert.ok(count <= 8, `${count} modules were measured`)
})

test('what cannot be measured is not chosen, and never is it worse than its rival', async () => {
  const request = { units: 5, modules: 2, estimate: () => 1 }
  const measure = async (begin: number, end: number) =>
    begin === 0 && end === 2 ? undefined : costOf(begin, end)
  assert.equal(await balance({ ...request, measure, rival: undefined }), [4, 5])
  const steep = async (_: number, end: number) => ({
    residentBytes: 0,
    peakBytes: end === 1 ? 1 : 99,
  })
  const ends = await balance({ ...request, measure: steep, rival: [1, 5] })
  assert.is(ends.length, 2)
})

test.run()

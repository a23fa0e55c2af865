// The picture of how time and memory grow has every contender that was measured, and is whole.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CASES } from '../../../bench/speed/cases.js'
import { growthPicture } from '../../../bench/speed/growth-picture.js'
import { type Result, rowsOf } from '../../../bench/speed/result.js'
import { figures } from './figures.js'

const growth = CASES.find(({ name }) => name === 'growth')
if (growth === undefined) throw new Error('there is no case `growth`')

function resultOf(broken?: string): Result {
  const rows = rowsOf(
    growth as (typeof CASES)[number],
    (growth as (typeof CASES)[number]).contenders.map(({ name }, index) =>
      name === broken
        ? { status: 'failed', reason: 'ended by SIGKILL' }
        : { status: 'ok', rounds: [figures([1 + index], { peakAllocatedBytes: 2 ** 30 })] },
    ),
  )
  return {
    ...{ schema: 1, startedAt: new Date(0).toISOString(), commit: null },
    ...{ threads: 2, busyProcesses: 0, quick: false },
    ...{ machine: { processor: '', cores: 2, memoryBytes: 0, load: 0 }, rounds: 1, versions: {} },
    ...{ cases: [{ name: 'growth', title: '', rows }], warnings: [] },
  }
}

const countOf = (picture: string | undefined, pattern: RegExp) =>
  [...(picture ?? '').matchAll(pattern)].length

test('every contender has a mark in two panels, and every line one in its label', () => {
  const picture = growthPicture(resultOf())
  const contenders = growth.contenders.length
  // Two panels with two lines, two with one.
  assert.is(countOf(picture, /<circle|<rect x/g), 2 * contenders + 6)
  assert.is(countOf(picture, /<g[ >]/g), countOf(picture, /<\/g>/g))
  assert.match(picture as string, /^<svg[^>]*\n?[^>]*>/)
  assert.not.match(picture as string, /NaN|undefined|Infinity/)
})

test('a contender that failed is left out', () => {
  const picture = growthPicture(resultOf('backprop, batch 64'))
  assert.is(countOf(picture, /<circle|<rect x/g), 2 * (growth.contenders.length - 1) + 6)
})

test('without the case there is nothing to draw', () => {
  assert.is(growthPicture({ ...resultOf(), cases: [] }), undefined)
})

test.run()

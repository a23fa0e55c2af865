// What a simulated figure is beside a published one, and that every case can be looked up and run.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cardNamed } from '../../../lib/simulated/cards.js'
import { CASES, type Case } from '../../bench/fidelity/cases.js'
import {
  asMarkdown,
  asText,
  percent,
  rowOf,
  summaryOf,
  worstOf,
} from '../../bench/fidelity/table.js'
import { PROGRAMS } from '../../helpers/simulated-python.js'

const ONE: Case = {
  ...{ name: 'a case', source: 'https://example.org/1', torch: '2.6', card: 'a100' },
  ...{ program: 'small.py', args: [], statistic: 'reserved', published: 26.26, unit: 'GiB' },
  digits: 2,
}
const GIB = 2 ** 30

test('a figure is equal, equal in the digits that are published, or different', () => {
  assert.is(rowOf({ ...ONE, published: 2, digits: 0 }, 2 * GIB).verdict, 'equal')
  assert.is(rowOf(ONE, 26.2617 * GIB).verdict, 'rounded')
  assert.is(rowOf(ONE, 26.265 * GIB).verdict, 'different')
  assert.is(rowOf({ ...ONE, published: 16, unit: 'MB', digits: 0 }, 8e6).relative, -0.5)
})

test('a figure that its source rounds agrees in no digit, and is counted by itself', () => {
  const about: Case = { ...ONE, isAbout: true, published: 6, digits: 0 }
  assert.is(rowOf(about, 6 * GIB).verdict, 'about')
  assert.is(rowOf(about, 5.9 * GIB).verdict, 'about')
  const equal = rowOf({ ...ONE, published: 2 }, 2 * GIB)
  const different = rowOf({ ...ONE, published: 10, isClose: true }, 10.1 * GIB)
  assert.is(
    summaryOf([equal, rowOf(ONE, 26.2617 * GIB), rowOf(about, 5.9 * GIB), different]),
    '4 figures: 1 equal to the byte, 1 equal in every digit that is published, 1 published as "about" and ' +
      'within 1.7 % of it, 1 different. Of versions that allocate alike the worst is 1.0 %.',
  )
  assert.is(
    summaryOf([equal]),
    '1 figures: 1 equal to the byte, 0 equal in every digit that is published, 0 different.',
  )
})

test('the worst is taken of the cases that allocate alike, upwards and downwards', () => {
  const close: Case = { ...ONE, published: 10, isClose: true }
  const rows = [rowOf(close, 10.1 * GIB), rowOf(close, 9.5 * GIB), rowOf(ONE, GIB)]
  assert.ok(Math.abs((worstOf(rows) ?? 0) - 0.05) < 1e-12)
  assert.is(worstOf([rowOf(ONE, GIB)]), undefined)
})

test('a difference has a sign and the digits that it needs', () => {
  const differences = [-0.161, 0.0069, 7.3e-5, -5e-7, 0]
  assert.equal(differences.map(percent), ['-16.1 %', '+0.7 %', '+0.007 %', '-5e-5 %', '0e+0 %'])
})

test('the table says what is equal, explained and unexplained', () => {
  const rows = [
    rowOf({ ...ONE, published: 2, digits: 0 }, 2 * GIB),
    rowOf({ ...ONE, explained: 'because' }, 20 * GIB),
    rowOf({ ...ONE, publishedCard: 'not said' }, 30 * GIB),
    rowOf({ ...ONE, isAbout: true, digits: 0, published: 4 }, 5 * GIB),
  ]
  const [, , equal, explained, unexplained, about] = asMarkdown(rows).split('\n')
  const start = '| [a case](https://example.org/1) | 2.6 | a100'
  assert.is(equal, `${start} | 2 GiB | 2 GiB | 0 |  |`)
  assert.is(explained, `${start} | 26.26 GiB | 20.00 GiB | -23.8 % | because |`)
  assert.is(
    unexplained,
    `${start} (published: not said) | 26.26 GiB | 30.00 GiB | +14.2 % | unexplained |`,
  )
  assert.is(about, `${start} | about 4 GiB | 5 GiB | +25.0 % | rounded in the source |`)
  assert.match(asText(rows), /^case +torch +card +published/)
})

test('every case has a source, a card that is known and a program that is there', () => {
  assert.ok(CASES.length >= 30)
  for (const one of CASES) {
    assert.match(one.source, /^https:\/\//, one.name)
    assert.ok(cardNamed(one.card), one.name)
    assert.ok(existsSync(path.join(PROGRAMS, one.program)), one.name)
    assert.ok(one.published > 0 && one.torch !== '', one.name)
  }
  assert.is(new Set(CASES.map(({ name, source }) => `${name} ${source}`)).size, CASES.length)
})

test.run()

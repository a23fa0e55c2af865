// What rounds come to: medians, spread, ratios, the table and the JSON document.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Case } from '../../../bench/speed/cases.js'
import type { Rounds } from '../../../bench/speed/in-turn.js'
import {
  type Result,
  resultSchema,
  rowsOf,
  threadWarnings,
  versionsOf,
} from '../../../bench/speed/result.js'
import { highestOf, medianOf, spreadOf } from '../../../bench/speed/statistics.js'
import { caseAsMarkdown, surroundingsAsMarkdown } from '../../../bench/speed/table.js'
import { contender, figures } from './figures.js'

const CASE: Case = {
  ...{ name: 'a-case', title: 'A case', reference: 'ours' },
  contenders: [
    contender('ours'),
    contender('theirs'),
    contender('other', { against: 'theirs' }),
    contender('broken'),
  ],
}

const RESULTS: readonly Rounds[] = [
  {
    status: 'ok',
    rounds: [
      figures([1, 3], { tuningSeconds: 0.5, peakAllocatedBytes: 2 ** 29 }),
      figures([2, 9], {
        tuningSeconds: 0,
        firstStepSeconds: 4,
        peakRssBytes: 2 ** 31,
        versions: { node: '20' },
      }),
    ],
  },
  { status: 'ok', rounds: [figures([5], { threads: 1 })] },
  { status: 'ok', rounds: [figures([10], { firstStepSeconds: null, losses: [] })] },
  { status: 'failed', reason: 'ended by SIGKILL' },
]

test('a spread is of all values alike; of none there is none', () => {
  assert.equal(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 })
  assert.is(spreadOf([]), null)
  assert.is(medianOf([null, 3, 1]), 2)
  assert.is(medianOf([null]), null)
  assert.is(highestOf([1, null, 3]), 3)
})

test('a row has the median of all steps of all rounds and the highest peak', () => {
  const [row] = rowsOf(CASE, RESULTS)
  assert.equal(row, {
    ...{ contender: 'ours', against: 'ours', status: 'ok', reason: null },
    stepSeconds: { median: 2.5, min: 1, max: 9 },
    rounds: [
      [1, 3],
      [2, 9],
    ],
    ...{ imagesPerSecond: 3.2, timeRatio: 1, firstStepSeconds: 3, tuningSeconds: 0.5 },
    ...{ peakRssBytes: 2 ** 31, rssRatio: 1, peakAllocatedBytes: 2 ** 29 },
    ...{ firstLoss: 2.5, lastLoss: 2.25, threads: 2 },
  })
})

test("a ratio is against the case's reference, the contender's own, or the one that is asked for", () => {
  const ratios = (asked?: string) => rowsOf(CASE, RESULTS, asked).map(({ timeRatio }) => timeRatio)
  assert.equal(ratios(), [1, 2, 2, null])
  assert.equal(ratios('theirs'), [0.5, 1, 2, null])
  // One that failed has no time to be set against.
  assert.equal(ratios('broken'), [null, null, null, null])
})

const MEASURED = { name: CASE.name, title: CASE.title, rows: rowsOf(CASE, RESULTS) }

test('the table has a line for each contender, and of one that failed the reason', () => {
  const lines = caseAsMarkdown(MEASURED).split('\n')
  assert.is(lines[0], '### a-case: A case')
  assert.match(lines[2] as string, /^\| contender \| step, s \| spread \| time \|/)
  assert.is(
    lines[4],
    '| ours | 2.500 | 1.000 to 9.000 | 1.000x | 3.2 | 3.00 | 0.50 | 2.00 GiB | 1.000x | 512 MiB ' +
      '| 2.5000 | 2.2500 |',
  )
  assert.match(
    lines[6] as string,
    /^\| other \| 10.000 \| 10.000 to 10.000 \| 2.000x \| 0.8 \| {2}\|/,
  )
  assert.match(lines[7] as string, /^\| broken \| failed: ended by SIGKILL \|/)
  assert.match(lines[9] as string, /against `ours`, `theirs`/)
})

const DOCUMENT: Result = {
  ...{ schema: 1, startedAt: '2026-01-02T03:04:05.000Z', commit: 'abc' },
  machine: { processor: 'A processor', cores: 2, memoryBytes: 2 ** 34, load: 0.25 },
  ...{ threads: 2, busyProcesses: 0, quick: false, rounds: 2 },
  ...{ versions: versionsOf(RESULTS), cases: [MEASURED] },
  warnings: threadWarnings(MEASURED, 2),
}

test('the document is what its schema says, there and back', () => {
  assert.equal(resultSchema.parse(JSON.parse(JSON.stringify(DOCUMENT))), DOCUMENT)
  assert.not(resultSchema.safeParse({ ...DOCUMENT, more: 1 }).success)
  assert.not(resultSchema.safeParse({ ...DOCUMENT, schema: 2 }).success)
})

test('it says where it was measured, with what, and who used other threads', () => {
  assert.equal(DOCUMENT.versions, { node: '20', torch: '2.11.0' })
  assert.is(
    surroundingsAsMarkdown(DOCUMENT),
    'Measured on 2026-01-02 on A processor (2 cores, 2 threads, load 0.3 before), commit abc, ' +
      '2 rounds in turn; torch 2.11.0, node 20.\n- a-case: theirs used 1 threads, not 2',
  )
  assert.match(
    surroundingsAsMarkdown({ ...DOCUMENT, busyProcesses: 6 }),
    /before\), beside 6 busy processes, commit abc,/,
  )
})

test.run()

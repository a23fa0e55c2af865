// Which configurations a search tries.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRunSpec } from '../../../lib/local/run-spec.js'
import { type CandidateOptions, candidatesFor } from '../../../lib/plan/candidates.js'

const OPEN: CandidateOptions = {
  fixed: {},
  batchSize: 32,
  units: 12,
  hasBfloat16: true,
  canOffload: true,
}

test('every candidate is a run spec, and none comes twice', () => {
  const all = candidatesFor(OPEN).flatMap((one) => [one.run, ...one.else])
  for (const run of all) parseRunSpec(run)
  assert.is(new Set(all).size, all.length)
  assert.ok(all.some((run) => run.startsWith('backprop')))
  assert.ok(all.some((run) => run.startsWith('paper:4')))
})

test('what is fixed stays in all of them', () => {
  const runs = candidatesFor({ ...OPEN, fixed: { method: 'greedy', dtype: 'float32' } })
  assert.ok(runs.length > 0)
  for (const { run, else: others } of runs) {
    for (const text of [run, ...others]) {
      const spec = parseRunSpec(text)
      assert.is(spec.method, 'greedy')
      assert.is(spec.dtype, 'float32')
    }
  }
  const whole = candidatesFor({ ...OPEN, fixed: { method: 'backprop', accumulate: '4' } })
  for (const { run, else: others } of whole) {
    assert.is(parseRunSpec(run).accumulate, 4)
    assert.equal(others, [])
  }
})

test('parts that only local learning has, and cuts, make specs that are right', () => {
  for (const fixed of [
    { split: '1+3' },
    { decoder: 'conv' },
    { offload: 'modules' },
    { modules: '4' },
  ]) {
    const runs = candidatesFor({ ...OPEN, fixed })
    assert.ok(runs.length > 0)
    for (const { run, else: others } of runs) {
      for (const text of [run, ...others]) assert.is.not(parseRunSpec(text).method, 'backprop')
    }
  }
})

test('no bfloat16 where a card has none, no offload where there is one memory, no more modules than blocks', () => {
  const runs = candidatesFor({ ...OPEN, hasBfloat16: false, canOffload: false, units: 4 })
  for (const { run, else: others } of runs) {
    for (const text of [run, ...others]) {
      const spec = parseRunSpec(text)
      assert.is(spec.dtype, 'float32')
      assert.is(spec.offload, 'none')
      assert.ok((spec.asked ?? 1) <= 4)
      assert.ok(spec.accumulate <= 32)
    }
  }
})

test.run()

// What operators and products cost is told apart by steps of few images and of more.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { StepWork } from '../../../lib/plan/dry-run.js'
import {
  NOMINAL_CPU,
  operationsASecond,
  operatorSecondsOf,
  stepSecondsOf,
  type TimedStep,
} from '../../../lib/plan/step-time.js'

const workOf = (images: number): StepWork => ({
  operations: { float32: 5e9 * images, bfloat16: 0 },
  allocatedBytes: 1.2e8 + 4e7 * images,
  allocations: 800 + 100 * images,
  updatedBytes: 3e8,
  launches: null,
  transferBytes: 0,
})

const TRUE = { ...NOMINAL_CPU, float32: 8e10, bytes: 1e10, operatorSeconds: 7e-5 }
const stepOf = (images: number): TimedStep => {
  const work = workOf(images)
  return { work, seconds: stepSecondsOf(work, TRUE) }
}
const near = (value: number, expected: number) =>
  assert.ok(Math.abs(value / expected - 1) < 1e-9, `${value} for ${expected}`)

test('the costs with which steps were timed are found again', () => {
  const [few, more] = [stepOf(1), stepOf(4)]
  const operatorSeconds = operatorSecondsOf(few, more, 'float32', TRUE.bytes)
  near(operatorSeconds, TRUE.operatorSeconds)
  near(operationsASecond(more, 'float32', { ...TRUE, operatorSeconds }), TRUE.float32)
})

test('steps that other work disturbed give costs that can be used', () => {
  const [few, more] = [stepOf(1), stepOf(4)]
  const pairs = [
    [few, { ...more, seconds: few.seconds / 10 }],
    [few, { ...more, seconds: few.seconds * 1000 }],
    [{ ...few, seconds: 1e-6 }, more],
  ] as const
  for (const [a, b] of pairs) {
    const operatorSeconds = operatorSecondsOf(a, b, 'float32', TRUE.bytes)
    const rate = operationsASecond(b, 'float32', { ...TRUE, operatorSeconds })
    assert.ok(operatorSeconds >= 0 && Number.isFinite(operatorSeconds))
    assert.ok(rate > 0 && Number.isFinite(rate))
  }
})

test.run()

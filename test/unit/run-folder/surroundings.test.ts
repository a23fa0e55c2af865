// What is told of a run that goes on where other things compute.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { differencesOf, multipliesAlike } from '../../../lib/run-folder/surroundings.js'

const THEN = { libtorch: '2.11.0', processor: 'GenuineIntel 6 207', node: 'v20.1.0' }

test('another processor is told, another Node.js is not', () => {
  const now = { ...THEN, processor: 'AuthenticAMD 25 1', node: 'v24.0.0' }
  assert.equal(differencesOf(now, THEN), [
    'processor was GenuineIntel 6 207 and is AuthenticAMD 25 1',
  ])
  assert.equal(differencesOf(THEN, THEN), [])
})

test('what an earlier version did not write is no difference, what it wrote is', () => {
  const { libtorch, node } = THEN
  const now = { ...THEN, cpuCapability: 'AVX2' }
  assert.equal(differencesOf(now, { libtorch, node, cpuCapability: 'AVX512' }), [
    'cpuCapability was AVX512 and is AVX2',
  ])
})

test('another processor or LibTorch multiplies by its own choices, more threads do not', () => {
  assert.ok(multipliesAlike({ ...THEN, node: 'v24.0.0', threads: '2' }, { ...THEN, threads: '1' }))
  assert.not(multipliesAlike({ ...THEN, processor: 'AuthenticAMD 25 1' }, THEN))
  assert.not(multipliesAlike({ ...THEN, libtorch: '2.12.0' }, THEN))
  assert.not(
    multipliesAlike({ ...THEN, cpuCapability: 'AVX2' }, { ...THEN, cpuCapability: 'AVX512' }),
  )
  assert.ok(multipliesAlike(THEN, undefined), 'what is not said is taken')
})

test.run()

// The word that somebody meant.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { distanceOf, nearestOf } from '../../../lib/base/nearest.js'

test('letters to change, add, leave out or swap are counted, in any spelling', () => {
  assert.is(distanceOf('batch-size', 'batchSize'), 0)
  assert.is(distanceOf('form', 'from'), 1)
  assert.is(distanceOf('bach-size', 'batch-size'), 1)
  assert.is(distanceOf('epoch', 'epochs'), 1)
  assert.is(distanceOf('output', 'device'), undefined)
  assert.is(distanceOf('', 'a'), 1)
})

test('the nearest word is the one that is meant, and none where none is near', () => {
  assert.is(nearestOf('sead', ['speed', 'seed', 'set']), 'seed')
  assert.is(nearestOf('entirely-new', ['device', 'json']), undefined)
  assert.is(nearestOf('x'.repeat(100_000), ['seed']), undefined)
})

test.run()

// A short round of failed allocations; `npm run test:faults -- allocations` is the whole of it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { failAllocations } from './allocations/index.js'

test('an allocation that fails is told, and leaves everything as it was', async () => {
  const tally = await failAllocations('short', () => undefined)
  console.log(tally.text())
  assert.is(tally.violations.length, 0, tally.text())
  assert.ok(tally.of('steps, failed allocations') > 500)
  assert.ok(tally.of('calls, failed allocations') > 100)
})

test.run()

// A short round of odd values; `npm run test:faults -- api` is a longer one.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { failApi } from './api.js'
import { SHORT } from './chance.js'

test('every failure of an export is a LocalformerError, whatever it was called with', async () => {
  const tally = await failApi('short', () => undefined, SHORT)
  console.log(tally.text())
  assert.is(tally.violations.length, 0, tally.text())
  assert.ok(tally.of('functions') > 90)
  assert.ok(tally.of('calls') > tally.of('functions'))
})

test.run()

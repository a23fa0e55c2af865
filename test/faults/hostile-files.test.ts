// A short round of files from anywhere; `npm run test:faults -- hostile-files` is a longer one.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SHORT } from './chance.js'
import { failFiles } from './hostile-files.js'

test('a file is read, or refused with a LocalformerError, and costs little', async () => {
  const tally = await failFiles('short', () => undefined, SHORT)
  console.log(tally.text())
  assert.is(tally.violations.length, 0, tally.text())
  assert.ok(tally.of('files') > 100)
  assert.ok(tally.of('files that were read') > 10)
})

test.run()

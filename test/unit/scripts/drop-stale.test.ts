// What was compiled from a file that is gone goes too.
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DIST } from '../../helpers/child.js'

test('only what has no source is removed', () => {
  const stale = path.join(DIST, 'test/unit/scripts/gone.js')
  writeFileSync(stale, '')
  execFileSync(process.execPath, [path.join(DIST, '../scripts/drop-stale.mjs')])
  assert.not.ok(existsSync(stale))
  assert.ok(existsSync(fileURLToPath(import.meta.url)))
})

test.run()

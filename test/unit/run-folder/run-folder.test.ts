// Which folder a run may take.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RunFolder } from '../../../lib/run-folder/run-folder.js'
import { rejects } from '../../helpers/expect.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-run-folder-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

test('of several runs that want one folder one gets it', async () => {
  const directory = path.join(root, 'runs', 'paper-4')
  const claims = await Promise.all([1, 2, 3].map(() => RunFolder.claim(directory)))
  assert.equal(claims.sort(), [false, false, true])
})

test('a place where no folder can be is told', async () => {
  writeFileSync(path.join(root, 'file'), '')
  await rejects(() => RunFolder.claim(path.join(root, 'file', 'run')), 'ERR_CONFIG', '--run-dir')
})

test('a run that was killed within its first save begins anew, with the weights of its beginning', async () => {
  const directory = path.join(root, 'first')
  mkdirSync(path.join(directory, 'checkpoints', 'best'), { recursive: true })
  assert.is(await RunFolder.hasCheckpoint(directory), false)
  mkdirSync(path.join(directory, 'checkpoints', 'previous'))
  assert.is(await RunFolder.hasCheckpoint(directory), true)
})

test.run()

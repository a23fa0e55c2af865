// Folders that a user names: made with those above them, or refused at once.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeFolder } from '../../../lib/base/files.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-folder-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

async function codeOf(directory: string): Promise<string | undefined> {
  const none = () => undefined
  return makeFolder(directory).then(none, (error: NodeJS.ErrnoException) => error.code)
}

test('makes what is missing, and takes what is there', async () => {
  await makeFolder(path.join(root, 'a', 'b', 'c'))
  assert.ok(existsSync(path.join(root, 'a', 'b', 'c')))
  await makeFolder(path.join(root, 'a', 'b'))
})

test('a file in the way is refused', async () => {
  writeFileSync(path.join(root, 'file'), '')
  assert.is(await codeOf(path.join(root, 'file')), 'EEXIST')
  assert.is(await codeOf(path.join(root, 'file', 'below')), 'ENOTDIR')
})

test('a place where no folder can be made is refused too', async () => {
  assert.is(await codeOf('/proc/localformer/run'), 'ENOENT')
})

test.run()

// One process at a time writes a run folder, and a killed one leaves it free.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RunLock } from '../../../lib/run-folder/run-lock.js'
import { rejects } from '../../helpers/expect.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-lock-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

function newFolder(name: string): string {
  const directory = path.join(root, name)
  mkdirSync(directory)
  return directory
}

const take = async (directory: string) => RunLock.take(directory)

test('who comes second is told by whom the folder is written', async () => {
  const directory = newFolder('twice')
  const lock = RunLock.take(directory)
  const told = [directory, `process ${process.pid}`, '--run-dir']
  await rejects(() => take(directory), 'ERR_BUSY', ...told)
  // Refusing leaves what the holder wrote.
  await rejects(() => take(directory), 'ERR_BUSY', ...told)
  lock.release()
  lock.release()
  RunLock.take(directory).release()
})

test('another folder is another matter', () => {
  const locks = ['one', 'other'].map((name) => RunLock.take(newFolder(name)))
  for (const lock of locks) lock.release()
})

test('the lock of a process goes with it, also by kill -9', async () => {
  const directory = newFolder('killed')
  const module = new URL('../../../lib/run-folder/run-lock.js', import.meta.url).href
  const script = `
    import { RunLock } from ${JSON.stringify(module)}
    RunLock.take(${JSON.stringify(directory)})
    console.log('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await rejects(() => take(directory), 'ERR_BUSY', `process ${child.pid}`)
  child.kill('SIGKILL')
  await once(child, 'close')
  RunLock.take(directory).release()
})

test('a folder that cannot be written says what the system says', () => {
  const file = path.join(root, 'file')
  writeFileSync(file, '')
  assert.throws(() => RunLock.take(file), /ENOTDIR/)
  assert.ok(readdirSync(root).includes('file'))
})

test.run()

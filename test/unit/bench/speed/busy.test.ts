// What keeps the cores busy ends with the benchmark, however that ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { keepBusy } from '../../../bench/speed/busy.js'
import { DIST } from '../../../helpers/child.js'

const lives = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('as many as were asked for, until they are let go', async () => {
  const busy = keepBusy(2)
  assert.is(busy.pids.length, 2)
  assert.ok(busy.pids.every(lives))
  await busy[Symbol.asyncDispose]()
  assert.not(busy.pids.some(lives))
  assert.equal(keepBusy(0).pids, [])
})

test('they end when the process that started them is killed', async () => {
  const module = pathToFileURL(path.join(DIST, 'test/bench/speed/busy.js')).href
  const script = `
    const { keepBusy } = await import(${JSON.stringify(module)})
    const { pids } = keepBusy(1)
    console.log(pids[0])
    setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(parent.stdout, 'data')
  const pid = Number(String(line))
  assert.ok(lives(pid))
  const ended = once(parent, 'exit')
  parent.kill('SIGKILL')
  await ended
  // A busy process looks up ten times a second; one that does not end is an error of its own.
  for (const end = Date.now() + 20_000; lives(pid) && Date.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const left = lives(pid)
  if (left) process.kill(pid, 'SIGKILL')
  assert.not(left)
})

test.run()

// What keeps the cores busy ends with the benchmark, however that ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { keepBusy } from '../../../bench/speed/busy.js'
import { DIST } from '../../../helpers/child.js'
import { ended, isRunning } from '../../../helpers/processes.js'

test('as many as were asked for, until they are let go', async () => {
  await using busy = keepBusy(2)
  const [first] = busy.pids as [number, number]
  assert.is(busy.pids.length, 2)
  assert.ok(busy.pids.every(isRunning))
  assert.is(busy.lost(), 0)
  process.kill(first, 'SIGKILL')
  while (busy.lost() === 0) await new Promise((resolve) => setImmediate(resolve))
  assert.is(busy.lost(), 1)
  await busy[Symbol.asyncDispose]()
  assert.not(busy.pids.some(isRunning))
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
  parent.kill('SIGKILL')
  // One that goes on shows as a test without an end, and is stopped with it.
  await ended(Number(String(line)))
})

test.run()

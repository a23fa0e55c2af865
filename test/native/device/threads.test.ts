// How many threads an operation uses can be set at any time, for the addon's own thread too.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { getThreads, setThreads } from '../../../lib/device/threads.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { run } from '../../helpers/child.js'
import { rejects } from '../../helpers/expect.js'
import { floatBatch, SLOW } from '../../helpers/tiny.js'

const osThreads = () => readdirSync('/proc/self/task').length

test('one thread starts no others; more, set later, are started by the next operation', async () => {
  setThreads(1)
  assert.is(getThreads(), 1)
  await using model = await SwinTransformer.create(SLOW)
  const idle = osThreads()
  await model.predict(floatBatch(8))
  assert.is(osThreads(), idle, 'an operation runs on the addon thread alone')
  setThreads(4)
  assert.is(getThreads(), 4)
  await model.predict(floatBatch(8))
  assert.is(osThreads(), idle + 3, 'and then on four')
})

test('how long threads wait in a loop is set, unless the user says how they wait', async () => {
  const script = `
    import { load } from '${new URL('../../../lib/native/load.js', import.meta.url)}'
    load()
    console.log(process.env.GOMP_SPINCOUNT)`
  const unset = { GOMP_SPINCOUNT: undefined, OMP_WAIT_POLICY: undefined }
  const spinsOf = async (own: Readonly<Record<string, string>>) => {
    const args = ['--input-type=module', '-e', script]
    const { code, stdout, stderr } = await run(args, { ...unset, ...own })
    assert.is(code, 0, stderr)
    return stdout.trim()
  }
  assert.is(await spinsOf({ GOMP_SPINCOUNT: '7' }), '7')
  assert.is(await spinsOf({ OMP_WAIT_POLICY: 'active' }), 'undefined')
  const busy = cpus().map(() => spawn(process.execPath, ['-e', 'for (;;);']))
  try {
    await Promise.all(busy.map((child) => once(child, 'spawn')))
    assert.is(await spinsOf({}), '2000', 'beside others that want the cores')
  } finally {
    for (const child of busy) child.kill('SIGKILL')
    await Promise.all(busy.map((child) => once(child, 'exit')))
  }
  if (!(await isQuiet())) {
    console.log('SKIP: the machine is not quiet, so that how long they wait alone cannot be seen')
  } else assert.is(await spinsOf({}), '10000', 'alone')
})

/** Does nothing else run for a second? */
async function isQuiet(): Promise<boolean> {
  for (let look = 0; look < 50; look++) {
    await delay(20)
    const [, , , tasks = ''] = readFileSync('/proc/loadavg', 'utf8').split(' ')
    if (Number.parseInt(tasks, 10) > 1) return false
  }
  return true
}

test('a count that is none is refused', async () => {
  for (const count of [0, -1, 1.5, Number.NaN, 5000, '2' as unknown as number]) {
    await rejects(() => setThreads(count), 'ERR_CONFIG', '`count`', '1 to 4096')
  }
  assert.is(getThreads(), 4)
})

test.run()

// How many threads an operation uses can be set at any time, for the addon's own thread too.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
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

/** What LibTorch's OpenMP library took for the turns of its loop, and what is left in the environment. */
async function spins(own: Readonly<Record<string, string>> = {}) {
  const script = `
    import { load } from '${new URL('../../../lib/native/load.js', import.meta.url)}'
    load()
    console.log(process.env.GOMP_SPINCOUNT)`
  const unset = { GOMP_SPINCOUNT: undefined, OMP_WAIT_POLICY: undefined }
  const told = { OMP_DISPLAY_ENV: 'VERBOSE' }
  const args = ['--input-type=module', '-e', script]
  const { code, stdout, stderr } = await run(args, { ...unset, ...told, ...own })
  assert.is(code, 0, stderr)
  const [, taken] = /GOMP_SPINCOUNT = '(\w+)'/.exec(stderr) ?? []
  return { taken, left: stdout.trim() }
}

test('threads wait in a short loop beside others, unless the user says how they wait', async () => {
  assert.equal(await spins({ GOMP_SPINCOUNT: '7' }), { taken: '7', left: '7' })
  assert.is((await spins({ OMP_WAIT_POLICY: 'passive' })).taken, '0')
  const busy = [0, 1].map(() => spawn(process.execPath, ['-e', 'for (;;);']))
  const ended = busy.map((child) => once(child, 'exit'))
  try {
    await Promise.all(busy.map((child) => once(child, 'spawn')))
    assert.equal(await spins(), { taken: '2000', left: 'undefined' })
  } finally {
    for (const child of busy) child.kill('SIGKILL')
    await Promise.all(ended)
  }
})

const alone = (await isQuiet()) ? test : test.skip
if (alone === test.skip) console.log('SKIP: other processes run, so that none is alone')

alone('alone they wait longer', async () => {
  assert.equal(await spins(), { taken: '10000', left: 'undefined' })
})

/** Does nothing else run for half a second? */
async function isQuiet(): Promise<boolean> {
  for (let look = 0; look < 25; look++) {
    await delay(20)
    const text = await readFile('/proc/loadavg', 'utf8').catch(() => '')
    if (text.split(' ')[3]?.startsWith('1/') !== true) return false
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

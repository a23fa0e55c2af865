// How many threads an operation uses can be set at any time, for the addon's own thread too.
import { readdirSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { getThreads, setThreads } from '../../../lib/device/threads.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
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

test('a count that is none is refused', async () => {
  for (const count of [0, -1, 1.5, Number.NaN, 5000, '2' as unknown as number]) {
    await rejects(() => setThreads(count), 'ERR_CONFIG', '`count`', '1 to 4096')
  }
  assert.is(getThreads(), 4)
})

test.run()

// What a command that was interrupted ends with.
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import { untilInterrupted } from '../../../lib/cli/interrupt.js'
import { rejects } from '../../helpers/expect.js'

test.after.each(() => {
  process.exitCode = 0
})

/** Work that Ctrl-C meets, and that then ends with what `how` throws. */
const interrupted = (how: (signal: AbortSignal) => Promise<void>) =>
  untilInterrupted(async (signal) => {
    process.emit('SIGINT')
    assert.ok(signal.aborted)
    await how(signal)
  }, 'interrupted by the test')

test('work that stops because of it makes the exit code 130', async () => {
  await interrupted(async (signal) => signal.throwIfAborted())
  assert.is(process.exitCode, 130)
})

test("so does the error that Node's own functions make of it, also as a cause", async () => {
  await interrupted(async (signal) => void (await delay(1000, undefined, { signal })))
  assert.is(process.exitCode, 130)
  process.exitCode = 0
  await interrupted(async (signal) => {
    throw new LocalformerError('ERR_DATASET', 'stopped', { cause: signal.reason })
  })
  assert.is(process.exitCode, 130)
})

test('what went wrong meanwhile is told', async () => {
  for (const code of ['ERR_NON_FINITE', 'ERR_OUT_OF_MEMORY', 'ERR_CHECKPOINT'] as const) {
    const failing = () =>
      interrupted(async () => {
        throw new LocalformerError(code, 'went wrong')
      })
    await rejects(failing, code, 'went wrong')
  }
})

test('work that ends all the same has ended', async () => {
  await interrupted(async () => {})
  assert.not.equal(process.exitCode, 130)
})

test.run()

// One thing ahead: what is begun when, and that nothing begun is lost.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { oneAhead } from '../../../lib/batch/batch-ahead.js'

/** Things that tell what happens to them. */
class Log {
  readonly entries: string[] = []

  begin(name: string, failure?: Error) {
    return async () => {
      this.entries.push(`begin ${name}`)
      await Promise.resolve()
      if (failure) throw failure
      return { name, dispose: () => this.entries.push(`dispose ${name}`) }
    }
  }
}

test('the next one is begun before the one before it is used', async () => {
  const log = new Log()
  for await (const { name } of oneAhead([log.begin('a'), log.begin('b'), log.begin('c')])) {
    log.entries.push(`use ${name}`)
  }
  assert.equal(log.entries, ['begin a', 'begin b', 'use a', 'begin c', 'use b', 'use c'])
})

test('none, and one', async () => {
  const log = new Log()
  for await (const _ of oneAhead<{ dispose(): void }>([])) assert.unreachable()
  for await (const { name } of oneAhead([log.begin('a')])) log.entries.push(`use ${name}`)
  assert.equal(log.entries, ['begin a', 'use a'])
})

test('a loop that ends early disposes of the one ahead before it goes on', async () => {
  const log = new Log()
  for await (const _ of oneAhead([log.begin('a'), log.begin('b'), log.begin('c')])) break
  log.entries.push('after')
  assert.equal(log.entries, ['begin a', 'begin b', 'dispose b', 'after'])
})

test('so does one that fails', async () => {
  const log = new Log()
  const failure = new Error('the step')
  try {
    for await (const _ of oneAhead([log.begin('a'), log.begin('b')])) throw failure
    assert.unreachable()
  } catch (error) {
    assert.is(error, failure)
  }
  assert.equal(log.entries, ['begin a', 'begin b', 'dispose b'])
})

test('a failure ahead is thrown in its turn, after the one before it was used', async () => {
  const log = new Log()
  const failure = new Error('b')
  const used: string[] = []
  try {
    for await (const { name } of oneAhead([log.begin('a'), log.begin('b', failure)])) {
      used.push(name)
      // Long enough for an unhandled rejection to be told, which would end the process.
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.unreachable()
  } catch (error) {
    assert.is(error, failure)
  }
  assert.equal(used, ['a'])
})

test('a failure ahead is no one’s where the loop ends before', async () => {
  const log = new Log()
  for await (const _ of oneAhead([log.begin('a'), log.begin('b', new Error('b'))])) break
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(log.entries, ['begin a', 'begin b'])
})

test('where the next cannot even be begun, the one at hand is disposed of', async () => {
  const log = new Log()
  const failure = new Error('no more')
  function* works() {
    yield log.begin('a')
    throw failure
  }
  try {
    for await (const _ of oneAhead(works())) assert.unreachable()
    assert.unreachable()
  } catch (error) {
    assert.is(error, failure)
  }
  assert.equal(log.entries, ['begin a', 'dispose a'])
})

test.run()

// Every contender once, then every one again; one that fails is told and the others go on.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { inTurn } from '../../../bench/speed/in-turn.js'
import { contender, figures } from './figures.js'

const THREE = ['a', 'b', 'c'].map((name) => contender(name))

test('a round is one process of each contender, in their order', async () => {
  const order: string[] = []
  const results = await inTurn(THREE, 2, async ({ name }, round) => {
    order.push(`${name}${round}`)
    return { status: 'ok', figures: figures([order.length]) }
  })
  assert.equal(order, ['a1', 'b1', 'c1', 'a2', 'b2', 'c2'])
  const seconds = results.map((result) =>
    result.status === 'ok' ? result.rounds.map(({ stepSeconds }) => stepSeconds[0]) : [],
  )
  assert.equal(seconds, [
    [1, 4],
    [2, 5],
    [3, 6],
  ])
})

test('one that fails is not run again, and the others are', async () => {
  const order: string[] = []
  const results = await inTurn(THREE, 3, async ({ name }, round) => {
    order.push(`${name}${round}`)
    if (name === 'b' && round === 2) return { status: 'failed', reason: 'ended by SIGKILL' }
    if (name === 'c') return { status: 'skipped', reason: 'no compiler' }
    return { status: 'ok', figures: figures([1]) }
  })
  assert.equal(order, ['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
  assert.equal(
    results.map(({ status }) => status),
    ['ok', 'failed', 'skipped'],
  )
  assert.equal(results[1], { status: 'failed', reason: 'ended by SIGKILL' })
})

test.run()

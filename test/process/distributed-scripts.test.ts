// What scripts of several ranks may do beside a training that is as it should be.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fixture } from '../helpers/child.js'
import { startRanks } from '../helpers/ranks.js'

/** What each rank says of a scene of fixtures/rank-scene.ts. */
async function play(scene: string) {
  const { ended } = await startRanks(2, () => [fixture('rank-scene'), scene])
  const all = await Promise.all(ended)
  return all.map(({ code, signal, stdout, stderr }) => {
    assert.is(code ?? signal, 0, stderr)
    return JSON.parse(stdout)
  })
}

test('trainers one after the other, and a group that is joined again, have nothing of those before', async () => {
  const [first, second] = await play('one trainer after the other')
  assert.equal(first.losses, first.again)
  assert.equal(second.losses, second.again)
  const [[before, none], [after]] = first.losses
  assert.is(none, null)
  assert.ok(after < before, 'it learns')
})

test('a batch that the next rank is not ready for is refused before it is learned from', async () => {
  assert.equal(await play('a larger batch'), ['ERR_SHAPE', null])
})

test('ranks with other weights do not begin, and the group goes on', async () => {
  assert.equal(await play('other weights'), ['ERR_CONFIG', 'ERR_CONFIG'])
})

test('nor do ranks that would share in different ways', async () => {
  assert.equal(await play('another way'), ['ERR_CONFIG', 'ERR_CONFIG'])
})

test('shares of different sizes are refused before an update', async () => {
  assert.equal(await play('other shares'), [
    ['ERR_SHAPE', 'number'],
    ['ERR_SHAPE', 'number'],
  ])
})

test('a trainer whose group was left cannot step', async () => {
  assert.equal(await play('a step behind the end'), ['ERR_DISPOSED', 'ERR_DISPOSED'])
})

test.run()

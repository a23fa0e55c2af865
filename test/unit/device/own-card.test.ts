// Which card a process takes that did not choose one.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ownCard } from '../../../lib/device/device.js'

const NAMES = ['RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR'] as const
const before = NAMES.map((name) => process.env[name])

function within(variables: Partial<Record<(typeof NAMES)[number], string>>): void {
  for (const name of NAMES) {
    if (variables[name] === undefined) delete process.env[name]
    else process.env[name] = variables[name]
  }
}

test.after(() => within(Object.fromEntries(NAMES.map((name, i) => [name, before[i]]))))

test('one process takes the first', () => {
  within({})
  assert.is(ownCard(4).name, 'cuda:0')
  // LOCAL_RANK alone makes no group.
  within({ LOCAL_RANK: '2' })
  assert.is(ownCard(4).name, 'cuda:0')
})

test('one of several takes that of its LOCAL_RANK', () => {
  within({ RANK: '6', WORLD_SIZE: '8', LOCAL_RANK: '2' })
  assert.is(ownCard(4).name, 'cuda:2')
  assert.match(ownCard(4).reason, /LOCAL_RANK 2/)
})

test('one that sees a single card takes it, and one for which there is none is told', () => {
  within({ RANK: '3', WORLD_SIZE: '4', LOCAL_RANK: '3' })
  assert.is(ownCard(1).name, 'cuda:0')
  assert.throws(() => ownCard(2), /LOCAL_RANK 3 has no CUDA device: there are 2/)
})

test.run()

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { groupPlace, isInGroup } from '../../../lib/distributed/place.js'

const NAMES = [
  ...['RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'GLOO_SOCKET_IFNAME'],
  ...['SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID', 'TORCHELASTIC_USE_AGENT_STORE'],
  ...['TORCHELASTIC_RUN_ID', 'TORCHELASTIC_RESTART_COUNT'],
]

function withVariables<T>(variables: Readonly<Record<string, string>>, look: () => T): T {
  const before = NAMES.map((name) => [name, process.env[name]] as const)
  for (const name of NAMES) delete process.env[name]
  Object.assign(process.env, variables)
  try {
    return look()
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

test('a process that nobody started with others is in no group', () => {
  assert.is(withVariables({}, isInGroup), false)
  // The shell of a Slurm job, in which nothing was started yet.
  assert.is(withVariables({ SLURM_PROCID: '0', SLURM_NTASKS: '4' }, isInGroup), false)
})

test("a shell: rank 0 hosts the store, at torch's place", () => {
  const place = withVariables({ RANK: '0', WORLD_SIZE: '2' }, groupPlace)
  assert.equal(place, {
    ...{ rank: 0, worldSize: 2, localRank: 0, address: '127.0.0.1', port: 29500 },
    ...{ hostsStore: true, attempt: '/0', interface: undefined },
  })
})

test('torchrun: its agent hosts the store, and each start has keys of its own', () => {
  const place = withVariables(
    {
      ...{ RANK: '0', WORLD_SIZE: '2', LOCAL_RANK: '0', MASTER_ADDR: 'host', MASTER_PORT: '1234' },
      ...{ TORCHELASTIC_USE_AGENT_STORE: 'True', TORCHELASTIC_RUN_ID: 'none' },
      TORCHELASTIC_RESTART_COUNT: '2',
    },
    groupPlace,
  )
  assert.is(place.hostsStore, false)
  assert.is(place.attempt, 'none/2')
  assert.is(place.port, 1234)
})

test('Slurm: its own numbers where the place to meet is said', () => {
  const place = withVariables(
    { SLURM_PROCID: '3', SLURM_NTASKS: '4', SLURM_LOCALID: '1', MASTER_ADDR: 'node1' },
    groupPlace,
  )
  assert.is(place.rank, 3)
  assert.is(place.worldSize, 4)
  assert.is(place.localRank, 1)
})

for (const [variables, message] of [
  [{ RANK: '0' }, /RANK is set and WORLD_SIZE is not/],
  [{ WORLD_SIZE: '2' }, /WORLD_SIZE is set and RANK is not/],
  [{}, /RANK and WORLD_SIZE are not set/],
  [{ RANK: '2', WORLD_SIZE: '2' }, /from 0 to 1 for `RANK` but received "2"/],
  [{ RANK: '-1', WORLD_SIZE: '2' }, /for `RANK` but received "-1"/],
  [{ RANK: '0', WORLD_SIZE: 'two' }, /for `WORLD_SIZE` but received "two"/],
  [{ RANK: '0', WORLD_SIZE: '2', MASTER_PORT: '70000' }, /for `MASTER_PORT` but received "70000"/],
] as const) {
  test(`${JSON.stringify(variables)} is refused`, () => {
    assert.throws(
      () => withVariables(variables, groupPlace),
      (error: Error & { code?: string }) => {
        assert.is(error.code, 'ERR_CONFIG')
        assert.match(error.message, message)
        return true
      },
    )
  })
}

test.run()

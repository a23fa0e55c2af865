// Several processes that train together on a simulated card each, over LibTorch's own NCCL backend: what
// they ask of card and network, what stays on a card, and what becomes of a rank whose peer is lost.
// Nothing travels and nothing is computed.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fixture } from '../helpers/child.js'
import { type CardJob, type CardReport, startRanks, stepOnCards } from '../helpers/ranks.js'

const RUN = 'paper:4,recompute=selective,sample=0.5'
const STEPS = 5

const [alone] = await stepOnCards(1, { run: RUN, steps: STEPS })
const modules = await stepOnCards(2, { run: RUN, steps: STEPS, parallel: { parallel: 'modules' } })
const data = await stepOnCards(2, { run: RUN, steps: STEPS, parallel: { parallel: 'data' } })

/** A steady step waits once, for what it measured, and copies from pinned memory alone. */
function assertOneWait({ calls }: CardReport): void {
  for (const step of calls.slice(1)) {
    assert.is(step?.synchronisations, 1)
    assert.is(step?.pageableCopies, 0)
    assert.is(step?.unorderedUses, 0)
  }
}

test('shared batches: gradients and losses of each module are added up, and the host waits once', () => {
  for (const rank of data) {
    assertOneWait(rank)
    // Four modules, with one copy of their gradients and one of their losses.
    for (const step of rank.calls) assert.is(step?.collectives, 4 * 2)
  }
})

test('shared batches: every module learns and says what it lost, as in one process', () => {
  for (const { modules: told } of data) assert.equal(told, alone?.modules)
})

test('shared modules: features and labels go from card to card, and the host waits once', () => {
  const [first, second] = modules as [CardReport, CardReport]
  for (const rank of modules) assertOneWait(rank)
  for (const step of first.calls) assert.is(step?.collectives, 2)
  // A batch may be asked for in the step before.
  const received = second.calls.reduce((sum, step) => sum + (step?.collectives ?? 0), 0)
  assert.is(received, 2 * STEPS)
  // A header, a map of 8 x 8 with 16 channels and labels of each batch, and of what is evaluated.
  assert.is(first.traffic?.sentBytes, (STEPS + 1) * (8 * 16 + 8 * 8 * 8 * 16 * 4 + 8 * 8))
})

test('shared modules: a card keeps the weights of its own modules, the first gets all on request', () => {
  const whole = alone?.residentBytes ?? 0
  const [first, second] = modules as [CardReport, CardReport]
  const together = first.residentBytes + second.residentBytes
  assert.ok(
    together < 1.1 * whole,
    `${first.residentBytes} and ${second.residentBytes} of ${whole}`,
  )
  assert.ok(first.gatheredBytes > 0.9 * whole, `${first.gatheredBytes} of ${whole}`)
})

/** Ranks that train for as long as they are let. */
const ENDLESS: CardJob = { run: 'paper:2', steps: 1_000_000 }

for (const parallel of ['data', 'modules'] as const) {
  for (const lost of [0, 1]) {
    test(`${parallel}: a rank ${lost} that is killed ends the other with its name`, async () => {
      const job = JSON.stringify({ ...ENDLESS, parallel: { parallel } })
      const { children, ended, stepping } = await startRanks(2, () => [
        fixture('rank-on-card'),
        job,
      ])
      await stepping
      children[lost]?.kill('SIGKILL')
      const other = await ended[1 - lost]
      assert.is(other?.code, 1, other?.stderr)
      assert.match(other?.stderr ?? '', /ERR_DISTRIBUTED/)
      assert.match(other?.stderr ?? '', lost === 0 ? /rank 0|process that hosts it/ : /rank 1/)
    })
  }
}

test('a host that waits for a card that waits for a lost rank is free again', async () => {
  const job: CardJob = {
    ...ENDLESS,
    parallel: { parallel: 'data' },
    fails: { rank: 0, call: 'ncclAllReduce', status: -1 },
  }
  const { children, ended, stepping } = await startRanks(2, () => [
    fixture('rank-on-card'),
    JSON.stringify(job),
  ])
  await stepping
  await new Promise((resolve) => setTimeout(resolve, 500))
  assert.is(children[0]?.exitCode, null)
  children[1]?.kill('SIGKILL')
  const waiting = await ended[0]
  assert.is(waiting?.code, 1, waiting?.stderr)
  assert.match(waiting?.stderr ?? '', /ERR_DISTRIBUTED/)
  assert.match(waiting?.stderr ?? '', /rank 1/)
})

test('an error of NCCL ends all ranks, and no process crashes', async () => {
  const REMOTE_ERROR = 6
  const job: CardJob = {
    ...ENDLESS,
    parallel: { parallel: 'data' },
    fails: { rank: 0, call: 'ncclCommGetAsyncError', status: REMOTE_ERROR },
  }
  const { ended } = await startRanks(
    2,
    () => [fixture('rank-on-card'), JSON.stringify(job)],
    // As torchrun sets it, which has c10d end the process.
    () => ({ TORCH_NCCL_ASYNC_ERROR_HANDLING: '1' }),
  )
  for (const { code, stderr } of await Promise.all(ended)) {
    assert.is(code, 1, stderr)
    assert.match(stderr, /ERR_DISTRIBUTED/)
    assert.match(stderr, /NCCL/)
  }
})

test.run()

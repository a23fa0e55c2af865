// However a process ends, and wherever a step stands then, it ends with the code it was given.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Ended, fixture, run } from '../helpers/child.js'

/** Shares of a step after which the process is ended. */
const PHASES = [0, 0.1, 0.35, 0.6, 0.85]

function endedWith({ code, signal, stderr }: Ended, expected: number): void {
  assert.is(signal, null, stderr)
  assert.is(code, expected, stderr)
}

/**
 * Runs the fixture at every phase. How far a step has come then depends on the machine's other work,
 * but some of the runs must really have stopped within one.
 */
async function atEveryPhase(how: string, check: (ended: Ended) => void): Promise<void> {
  let within = 0
  for (const phase of PHASES) {
    const ended = await run([fixture('train'), how, String(phase)])
    check(ended)
    if (ended.stdout.includes('in the step')) within += 1
  }
  assert.ok(within >= 2, `${within} of ${PHASES.length} ended within a step`)
}

test('a process that has trained ends by itself', async () => {
  const ended = await run([fixture('train'), 'end'])
  endedWith(ended, 0)
  assert.is(ended.stdout, 'trained\n')
  assert.is(ended.stderr, '')
})

test('a process waits for a step that runs', async () => {
  const ended = await run([fixture('train'), 'abandoned'])
  endedWith(ended, 0)
  assert.is(ended.stdout, 'trained\n')
})

test('process.exit() in the middle of a step ends with the given code', () =>
  atEveryPhase('exit', (ended) => {
    endedWith(ended, 7)
    assert.is(ended.stderr, '')
  }))

test('process.exit() while a batch is prepared ends with the given code', async () => {
  for (const milliseconds of [0, 20, 60, 150, 300]) {
    const ended = await run([fixture('prepare'), String(milliseconds)])
    endedWith(ended, 7)
    assert.is(ended.stderr, '')
  }
})

test("process.exit() in the middle of a worker's step ends with the given code", async () => {
  const ended = await run([fixture('train'), 'exit-worker', '0'])
  endedWith(ended, 7)
  assert.is(ended.stderr, '')
})

test('an uncaught exception in the middle of a step ends with code 1', () =>
  atEveryPhase('throw', (ended) => {
    endedWith(ended, 1)
    assert.match(ended.stderr, 'thrown on purpose')
  }))

test('an unhandled rejection in the middle of a step ends with code 1', async () => {
  const ended = await run([fixture('train'), 'reject', '0.3'])
  endedWith(ended, 1)
  assert.match(ended.stderr, 'rejected on purpose')
})

test('a model disposed in the middle of a step does not keep the process', async () => {
  const ended = await run([fixture('train'), 'dispose', '0.3'])
  endedWith(ended, 0)
  assert.is(ended.stderr, '')
})

test('the event loop turns and timers fire while a step runs', async () => {
  const ended = await run([fixture('train'), 'turns'])
  endedWith(ended, 0)
  const { turns, interval } = JSON.parse(ended.stdout) as { turns: number; interval: number }
  // A loop that the step blocked would turn a handful of times, and its timer fire once.
  assert.ok(turns > 100, `${turns} turns`)
  assert.ok(interval > 5, `fired ${interval} times`)
})

test.run()

// How a contender's process ended: its figures, or in a word why there are none.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runProcess } from '../../../../scripts/lib/test-process.js'
import type { Contender } from '../../../bench/speed/contender.js'
import { findPeerPython } from '../../../bench/speed/peer-python.js'
import { outcomeOf, runContender } from '../../../bench/speed/run-contender.js'
import { contender, figures } from './figures.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-test-bench-'))
const answer = path.join(folder, 'answer.json')
test.before.each(() => rmSync(answer, { force: true }))
test.after(() => rmSync(folder, { recursive: true }))

/** Runs a script to its end, as a contender's process. */
async function outcomeOfScript(script: string, timeoutSeconds = 60) {
  const ended = await runProcess(process.execPath, ['-e', script], { cwd: folder, timeoutSeconds })
  return outcomeOf(ended, answer)
}

const writes = (document: unknown) =>
  `fs.writeFileSync(${JSON.stringify(answer)}, ${JSON.stringify(JSON.stringify(document))})`

test('one that answers has its figures', async () => {
  const told = figures([1, 2])
  assert.equal(await outcomeOfScript(writes(told)), { status: 'ok', figures: told })
})

test('one that says why it cannot is skipped', async () => {
  const outcome = await outcomeOfScript(writes({ skipped: 'no compiler' }))
  assert.equal(outcome, { status: 'skipped', reason: 'no compiler' })
})

test('one that is killed failed, though it had answered', async () => {
  const script = `${writes(figures([1]))}; process.kill(process.pid, 'SIGKILL')`
  assert.equal(await outcomeOfScript(script), { status: 'failed', reason: 'ended by SIGKILL' })
})

test('one that hangs is ended', async () => {
  const outcome = await outcomeOfScript('setInterval(() => {}, 1000)', 0.5)
  assert.equal(outcome, { status: 'failed', reason: 'not over within 0.5 s (`--limit`)' })
})

test('of one that ends with a code the last line is told', async () => {
  const outcome = await outcomeOfScript(
    "console.error('first\\nMemoryError: 3\\n'); process.exit(1)",
  )
  assert.equal(outcome, { status: 'failed', reason: 'MemoryError: 3' })
  const silent = await outcomeOfScript('process.exit(3)')
  assert.equal(silent, { status: 'failed', reason: 'ended with code 3' })
})

test('an answer that is missing, or that is none, is a failure', async () => {
  const missing = { status: 'failed', reason: 'ended without an answer' }
  assert.equal(await outcomeOfScript(''), missing)
  for (const document of [{}, 'words', { ...figures([1]), peakRssBytes: 'much' }, figures([])]) {
    const outcome = await outcomeOfScript(writes(document))
    assert.is(outcome.status, 'failed')
    assert.match('reason' in outcome ? outcome.reason : '', /^answered what is not understood: /)
  }
  writeFileSync(answer, '{"cut off":')
  assert.is((await outcomeOfScript('')).status, 'failed')
})

test('without Python a peer is skipped with the reason', async () => {
  const work: Contender['work'] = {
    ...{ program: 'step.py', dtype: 'float32', model: 'timm', variant: 'eager' },
    ...{ workers: 0, keepsPages: false },
  }
  const outcome = await runContender(contender('timm', { work }), {
    ...{
      threads: 1,
      limitSeconds: 60,
      folder,
      cifar10: undefined,
      python: { reason: 'python3: not found' },
    },
  })
  assert.equal(outcome, { status: 'skipped', reason: 'python3: not found' })
})

test('a Python that is not there, or has no torch, is told with what installs it', () => {
  const before = process.env.PYTHON
  try {
    for (const python of ['/nowhere/python3', '/bin/false']) {
      process.env.PYTHON = python
      const found = findPeerPython()
      assert.match(
        'reason' in found ? found.reason : '',
        /^\/.*: .+; `npm run bench:peers` installs/,
      )
    }
  } finally {
    if (before === undefined) delete process.env.PYTHON
    else process.env.PYTHON = before
  }
})

test.run()

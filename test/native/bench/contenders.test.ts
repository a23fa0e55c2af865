// The benchmark's own processes, and that the peers' do the same work: on a few small images.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Contender, Figures, PeerWork } from '../../bench/speed/contender.js'
import { findPeerPython } from '../../bench/speed/peer-python.js'
import { runContender } from '../../bench/speed/run-contender.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-test-bench-'))
test.after(() => rmSync(folder, { recursive: true }))
const python = findPeerPython()
const SHAPE = { imageSize: 32, windowSize: 4, batchSize: 4, warmup: 1, steps: 2 }

const outcomeOf = (work: Contender['work'], shape = SHAPE, limitSeconds = 600) =>
  runContender(
    { name: 'one', shape, work },
    { threads: 1, limitSeconds, folder, python, cifar10: undefined },
  )

async function figuresOf(work: Contender['work'], shape = SHAPE): Promise<Figures> {
  const outcome = await outcomeOf(work, shape)
  if (outcome.status !== 'ok') throw new Error(outcome.reason)
  return outcome.figures
}

test('a run spec takes its steps in a process of its own', async () => {
  const figures = await figuresOf({ program: 'own-step', spec: 'paper:2', timeline: true })
  assert.is(figures.stepSeconds.length, 2)
  assert.is(figures.losses.length, 3)
  assert.is(figures.threads, 1)
  assert.equal(Object.keys(figures.versions), ['localformer', 'libtorch', 'node'])
  assert.ok(figures.peakRssBytes > (figures.peakAllocatedBytes ?? Number.POSITIVE_INFINITY))
})

test('the training loop gives the same with the files of a run, which are gone then', async () => {
  const spec = 'backprop'
  const plain = await figuresOf({ program: 'own-train', spec })
  const logged = await figuresOf({ program: 'own-train', spec, log: true })
  assert.is(plain.losses.length, 3)
  assert.equal(logged.losses, plain.losses)
  assert.ok(plain.tuningSeconds !== null, 'what choosing products took is told')
  assert.not(readdirSync(path.join(folder, '32px-4')).some((name) => name.startsWith('run-')))
})

test('a process that takes longer than its limit is given up', async () => {
  const endless = { ...SHAPE, steps: 1_000_000 }
  assert.equal(await outcomeOf({ program: 'own-step', spec: 'backprop' }, endless, 3), {
    ...{ status: 'failed', reason: 'not over within 3 s (`--limit`)' },
  })
})

test('a run spec that is none fails by its message', async () => {
  const outcome = await outcomeOf({ program: 'own-step', spec: 'paper:99' })
  assert.is(outcome.status, 'failed')
  assert.match('reason' in outcome ? outcome.reason : '', /cannot be cut into 99 modules/)
})

const PEER: PeerWork = {
  ...{ program: 'step.py', dtype: 'float32', model: 'timm', variant: 'eager' },
  ...{ workers: 0, keepsPages: true },
}
const onPeers = 'reason' in python ? test.skip : test
if ('reason' in python) console.log(`SKIP: ${python.reason}`)

function hasLossesOf(theirs: Figures, own: Figures): void {
  own.losses.forEach((loss, step) => {
    const other = theirs.losses[step] as number
    assert.ok(Math.abs(loss - other) < 1e-3 * loss, `step ${step}: ${loss}, ${other}`)
  })
}

for (const variant of ['eager', 'chosen-products', 'checkpointing'] as const) {
  onPeers(`timm, ${variant}, has the losses of backprop`, async () => {
    const theirs = await figuresOf({ ...PEER, variant })
    hasLossesOf(theirs, await figuresOf({ program: 'own-step', spec: 'backprop' }))
    assert.is(theirs.tuningSeconds !== null, variant === 'chosen-products')
  })
}

onPeers('torchvision has the losses of backprop', async () => {
  const shape = { ...SHAPE, imageSize: 224, windowSize: 7, batchSize: 2 }
  const theirs = await figuresOf({ ...PEER, model: 'torchvision' }, shape)
  hasLossesOf(theirs, await figuresOf({ program: 'own-step', spec: 'backprop' }, shape))
})

onPeers('a DataLoader with chosen products tells what choosing took', async () => {
  const chosen = await figuresOf({ ...PEER, program: 'loader.py', variant: 'chosen-products' })
  assert.is(chosen.losses.length, 3)
  assert.ok((chosen.tuningSeconds ?? 0) > 0)
})

onPeers('a DataLoader with a worker, and the floor, answer', async () => {
  const loader = await figuresOf({ ...PEER, program: 'loader.py', workers: 1 })
  assert.is(loader.losses.length, 3)
  const floor = await figuresOf({ ...PEER, program: 'floor.py', dtype: 'bfloat16' })
  assert.equal([floor.stepSeconds.length, floor.firstStepSeconds], [1, null])
})

test.run()

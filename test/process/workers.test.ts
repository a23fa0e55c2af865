// The package in worker threads: each has its own addon thread, all share one LibTorch.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as memory from '../../lib/device/memory.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { fixture } from '../helpers/child.js'
import { floatBatch, TINY } from '../helpers/tiny.js'
import type { WorkerTask } from './fixtures/worker.js'

const STEPS = 4

// Read when LibTorch is loaded: with one thread an operation always adds up in the same order.
process.env.OMP_NUM_THREADS = '1'

type Message = { readonly step?: number; readonly losses?: number[][] }

function start(workerData: WorkerTask): Worker {
  return new Worker(fixture('worker'), { workerData })
}

/** Losses of a worker that ends by itself. */
async function lossesOf(worker: Worker): Promise<number[][] | undefined> {
  let losses: number[][] | undefined
  worker.on('message', (message: Message) => {
    losses = message.losses ?? losses
  })
  const [code] = (await once(worker, 'exit')) as [number]
  assert.is(code, 0)
  return losses
}

/** The same training on this thread. */
async function trainHere(): Promise<(number | null)[][]> {
  await using model = await SwinTransformer.create({ ...TINY, dropPath: 0.1 })
  const trainer = await LocalTrainer.create(model)
  const losses = []
  for (let step = 0; step < STEPS; step++) {
    const { modules } = await trainer.step(floatBatch(4, step))
    losses.push(modules.map((module) => module.labelLoss))
  }
  return losses
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

// The first test is the one in which a worker loads LibTorch, before the main thread does.
test('a worker trains where the main thread has not loaded the package', async () => {
  const losses = await lossesOf(start({ steps: STEPS, slow: false }))
  assert.is(losses?.length, STEPS)
  assert.equal(losses, await trainHere(), 'and gets the same numbers')
})

test('another worker can load it again once the first is gone', async () => {
  for (let i = 0; i < 3; i++) {
    assert.is((await lossesOf(start({ steps: 1, slow: false })))?.length, 1)
  }
})

test('two workers and the main thread train at once, each as if alone', async () => {
  const alone = await trainHere()
  const [one, other, here] = await Promise.all([
    lossesOf(start({ steps: STEPS, slow: false })),
    lossesOf(start({ steps: STEPS, slow: false })),
    trainHere(),
  ])
  assert.equal(here, alone)
  assert.equal(one, alone)
  assert.equal(other, alone)
})

test('workers of two precisions take turns, and each comes to its end', async () => {
  const alone = await trainHere()
  const losses = await Promise.all(
    (['tf32', 'ieee', 'tf32'] as const).map((precision) =>
      lossesOf(start({ steps: 5 * STEPS, slow: false, precision })),
    ),
  )
  for (const of of losses) {
    assert.is(of?.length, 5 * STEPS)
    assert.equal(of?.slice(0, STEPS), alone)
  }
})

test('terminate() in the middle of a step ends the worker and frees its memory', async () => {
  await trainHere()
  const before = memory.allocated()
  for (const turns of [0, 1, 100, 3000]) {
    const worker = start({ steps: 1_000_000, slow: true })
    const [{ step }] = (await once(worker, 'message')) as [Message]
    assert.is(step, 0, 'its first step has begun')
    assert.ok(memory.allocated() > before)
    for (let i = 0; i < turns; i++) await turn()
    assert.is(await worker.terminate(), 1)
    assert.is(memory.allocated(), before, `terminated after ${turns} turns`)
  }
  assert.is((await trainHere()).length, STEPS, 'this thread trains on')
})

test('terminate() while results arrive does no harm', async () => {
  for (let i = 0; i < 20; i++) {
    const worker = new Worker(fixture('results'))
    await once(worker, 'message')
    await new Promise((resolve) => setTimeout(resolve, 5 + 7 * i))
    assert.is(await worker.terminate(), 1)
  }
  assert.is((await trainHere()).length, STEPS)
})

test('terminate() while a batch is prepared ends the worker and frees its memory', async () => {
  await trainHere()
  const before = memory.allocated()
  for (let i = 0; i < 8; i++) {
    const worker = new Worker(fixture('prepare'))
    await once(worker, 'message')
    await new Promise((resolve) => setTimeout(resolve, 37 * i))
    assert.is(await worker.terminate(), 1)
    assert.is(memory.allocated(), before, `terminated in round ${i}`)
  }
})

test('terminate() while the addon loads or a network is made does no harm', async () => {
  for (const turns of [0, 2000, 20_000]) {
    const worker = start({ steps: 1, slow: true })
    await once(worker, 'online')
    for (let i = 0; i < turns; i++) await turn()
    await worker.terminate()
  }
  assert.is((await trainHere()).length, STEPS)
})

test.run()

// `train(...)` is followed with a loop, or awaited.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { loadTorch } from '../../../lib/native/load.js'
import { train } from '../../../lib/train/train.js'
import { changed, rejects } from '../../helpers/expect.js'
import { TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)
const data = syntheticDataset({ trainCount: 32, testCount: 8 })
const OPTIONS = { epochs: 2, batchSize: 8 }

async function newTrainer() {
  const model = await SwinTransformer.create(TINY)
  return LocalTrainer.create(model, { method: 'greedy', modules: 2 })
}

test('awaited it trains and gives its last event', async () => {
  const trainer = await newTrainer()
  await using model = trainer.model
  const before = await model.readParameters()
  const done = await train(trainer, data, OPTIONS)
  assert.equal([done.type, done.steps, done.stoppedEarly], ['done', 8, false])
  assert.is(done.evaluation?.count, 8)
  assert.ok(changed(before, await model.readParameters()).length > 0)
})

test('awaited twice it trains once, and what it throws is thrown', async () => {
  const trainer = await newTrainer()
  await using _ = trainer.model
  const training = train(trainer, data, OPTIONS)
  const [first, second] = await Promise.all([training, training])
  assert.is(first, second)
  await rejects(() => train(trainer, data, { ...OPTIONS, batchSize: 33 }), 'ERR_CONFIG', '33')
})

test('the rest of a loop can be awaited, one that is over cannot', async () => {
  const trainer = await newTrainer()
  await using _ = trainer.model
  const training = train(trainer, data, OPTIONS)
  await training.next()
  assert.is((await training).steps, 8)
  const looped = train(trainer, data, OPTIONS)
  for await (const event of looped) void event
  await rejects(() => looped, 'ERR_BUSY', 'not both')
})

test.run()

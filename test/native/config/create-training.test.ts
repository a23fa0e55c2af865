// A configuration becomes network, trainer and loop: what each of them really has.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createTraining } from '../../../lib/config/create.js'
import { resolveInput } from '../../../lib/config/resolve.js'
import type { TrainingConfigInput } from '../../../lib/config/schema.js'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import * as memory from '../../../lib/device/memory.js'
import { getThreads } from '../../../lib/device/threads.js'
import { loadTorch } from '../../../lib/native/load.js'
import { train } from '../../../lib/train/train.js'
import { rejects } from '../../helpers/expect.js'

loadTorch().setThreads(1)

const SMALL = {
  dataset: { name: 'synthetic' },
  model: { variant: 'micro' },
  device: 'cpu',
} as const satisfies TrainingConfigInput

const data = syntheticDataset({ trainCount: 32, testCount: 16 })

test('network, modules, optimizers and rates are those of the configuration', async () => {
  await using training = await createTraining(
    {
      ...SMALL,
      model: { variant: 'micro', patchSize: 2, dropPath: 0.25 },
      run: 'greedy:2',
      threads: 2,
      training: { batchSize: 16, warmup: 0, epochs: 2, cropPadding: 2 },
      optimizer: { weightDecay: 0.1 },
      modules: [{ learningRate: 0.25 }, { optimizer: 'sgd', momentum: 0.5, weightDecay: 0 }],
    },
    data,
  )
  const { model, trainer, options, weights } = training
  assert.is(model.config.patchSize, 2)
  assert.is(model.config.dropPath, 0.25)
  assert.is(model.config.classes, data.classes.length)
  assert.is(getThreads(), 2)
  assert.is(trainer.method, 'greedy')
  const [first, second] = trainer.modules.map(({ optimizer }) => optimizer)
  assert.is(first?.name, 'AdamW')
  assert.is(first?.weightDecay, 0.1)
  assert.is(second?.name, 'SGD')
  assert.is(second?.weightDecay, 0)
  assert.is(second?.momentum, 0.5)
  assert.equal(options.learningRate, [0.25, 1e-3])
  assert.is(weights, null)
  const types: string[] = []
  for await (const event of train(trainer, training.data, options)) types.push(event.type)
  assert.is(types.filter((type) => type === 'step').length, 4)
})

test('what is resolved already is not resolved again', async () => {
  const resolved = resolveInput({ ...SMALL, run: 'greedy:2' })
  await using training = await createTraining(resolved, data)
  assert.is(training.config, resolved.config)
  assert.is(training.spec, resolved.spec)
  assert.equal(training.model.config.depths, resolved.network.depths)
})

test('backprop takes the settings of its one module', async () => {
  const modules = [{ optimizer: 'sgd', learningRate: 0.5 }] as const
  const config = { ...SMALL, run: 'backprop', modules: [...modules] }
  await using training = await createTraining(config, data)
  assert.is(training.trainer.modules[0]?.optimizer.name, 'SGD')
  assert.equal(training.options.learningRate, [0.5])
})

test('without a data set the one of the configuration is opened', async () => {
  await using training = await createTraining(SMALL)
  assert.is(training.data.name, 'synthetic')
})

test('a network whose first weights cannot be read is freed again', async () => {
  const allocated = () => memory.stats('cpu').allocatedBytes.all.current
  const before = allocated()
  const config = { ...SMALL, init: 'nowhere.safetensors' }
  await rejects(() => createTraining(config, data), 'ERR_CHECKPOINT')
  assert.is(allocated(), before)
})

test('a configuration keeps less for the backward pass unless its run spec says otherwise', async () => {
  for (const [run, recompute] of [
    ['paper:2', 'selective'],
    ['paper:2,recompute=none', 'none'],
    ['backprop,recompute=block', 'block'],
  ] as const) {
    await using training = await createTraining({ ...SMALL, run }, data)
    assert.equal(
      training.trainer.recipe.modules.map((module) => module.recompute),
      training.trainer.modules.map(() => recompute),
    )
  }
})

test.run()

// A run that goes on from any of its checkpoints in a new trainer gives the rest of the run bit for
// bit: losses, evaluations and weights, with everything that has a state of its own switched on.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { defineDataset } from '../../../lib/datasets/dataset.js'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer, type Tensors } from '../../../lib/local/swin-transformer.js'
import type { Trainer } from '../../../lib/local/trainer.js'
import { loadTorch } from '../../../lib/native/load.js'
import type { TrainEvent } from '../../../lib/train/events.js'
import type { TrainOptions } from '../../../lib/train/options.js'
import { train } from '../../../lib/train/train.js'
import { captureState, type TrainingState } from '../../../lib/train/training-state.js'
import { rejects, same } from '../../helpers/expect.js'
import { TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const data = syntheticDataset({ trainCount: 24, testCount: 16 })

/** Everything that keeps something from step to step, or draws random numbers. */
const METHOD: LocalOptions = {
  ...{ modules: 4, dtype: 'bfloat16', sample: 0.5, accumulate: 2, labelSmoothing: 0.1 },
  perModule: [null, { optimizer: 'sgd' }, { optimizer: 'sgd', momentum: 0 }],
}
const LOOP: TrainOptions = {
  ...{ epochs: 2, batchSize: 8, learningRate: 3e-3, clipNorm: 1, ema: 0.5 },
  ...{ evaluateEvery: 2, checkpointSteps: 1 },
}

async function create() {
  const model = await SwinTransformer.create({ ...TINY, dropPath: 0.3 })
  return { model, trainer: await LocalTrainer.create(model, METHOD) }
}

async function weightsOf(trainer: Trainer): Promise<Tensors> {
  const network = await trainer.model.readParameters()
  const average = Object.entries(await trainer.readAverage())
  return {
    ...{ ...network, ...(await trainer.readAuxiliary()) },
    ...Object.fromEntries(average.map(([name, tensor]) => [`average.${name}`, tensor])),
  }
}

/** What of an event is the same in every run of the same seed. */
function figures(event: TrainEvent): object {
  if (event.type === 'step') {
    const { step, epoch, activeModule, learningRate, modules } = event
    const losses = modules.map(({ labelLoss, reconstructionLoss, gradientNorm, correct }) => ({
      ...{ labelLoss, reconstructionLoss, gradientNorm, correct },
    }))
    return { step, epoch, activeModule, learningRate, losses }
  }
  if (event.type === 'epoch') {
    const modules = event.modules.map((module) => ({
      ...module,
      ...{ seconds: 0, peakAllocatedBytes: 0 },
    }))
    return { ...event, seconds: 0, modules }
  }
  if (event.type === 'checkpoint') {
    const { progress: _, ...rest } = event
    return rest
  }
  if (event.type === 'done') {
    return { ...event, seconds: 0, imagesPerSecond: 0, peakAllocatedBytes: 0 }
  }
  return event
}

async function whole(options: TrainOptions) {
  const { model, trainer } = await create()
  const events: object[] = []
  const checkpoints: { state: TrainingState; after: number }[] = []
  for await (const event of train(trainer, data, options)) {
    events.push(figures(event))
    if (event.type !== 'checkpoint') continue
    const state = await captureState(trainer, JSON.parse(JSON.stringify(event.progress)))
    checkpoints.push({ state, after: events.length })
  }
  const weights = await weightsOf(trainer)
  model.dispose()
  return { events, checkpoints, weights }
}

for (const schedule of ['together', 'sequential'] as const) {
  test(`${schedule}: from every checkpoint the rest is the same, bit for bit`, async () => {
    const options = { ...LOOP, schedule }
    const { events, checkpoints, weights } = await whole(options)
    const phases = schedule === 'together' ? 1 : 4
    // One a step and one an epoch.
    assert.is(checkpoints.length, phases * 2 * (3 + 1))
    for (const { state, after } of checkpoints) {
      const { model, trainer } = await create()
      const rest: object[] = []
      for await (const event of train(trainer, data, { ...options, state })) {
        rest.push(figures(event))
      }
      const { step, stage } = state.progress
      assert.equal(rest, events.slice(after), `after step ${step}, next ${stage}`)
      same(weights, await weightsOf(trainer), `weights, from step ${step}`)
      model.dispose()
    }
  })
}

test('a run that is stopped in a step, or in an evaluation, goes on from there', async () => {
  const options = { ...LOOP, evaluateEvery: 1, checkpointSteps: 100 }
  const { events, weights } = await whole(options)
  const lasting = (list: readonly object[]) =>
    list.filter((event) => !('type' in event) || event.type !== 'checkpoint')
  // The signal comes while step 2 is shown, or the first epoch's end: then the evaluation is stopped.
  for (const when of ['step', 'epoch'] as const) {
    const { model, trainer } = await create()
    const controller = new AbortController()
    const seen: object[] = []
    const states: TrainingState[] = []
    let reason: unknown
    try {
      for await (const event of train(trainer, data, { ...options, signal: controller.signal })) {
        seen.push(figures(event))
        if (event.type === when && (event.type === 'epoch' || event.step === 2)) {
          controller.abort(new Error('enough'))
        }
        if (event.type === 'checkpoint' && event.reason === 'interrupted') {
          states.push(await captureState(trainer, event.progress))
        }
      }
    } catch (error) {
      reason = error
    }
    assert.is((reason as Error).message, 'enough')
    assert.is(states.length, 1)
    assert.is(states[0]?.progress.stage, when === 'step' ? 'steps' : 'evaluation')
    const other = await create()
    for await (const event of train(other.trainer, data, { ...options, state: states[0] })) {
      seen.push(figures(event))
    }
    assert.equal(lasting(seen), lasting(events), when)
    same(weights, await weightsOf(other.trainer), 'weights')
    model.dispose()
    other.model.dispose()
  }
})

test('a module that was frozen on the way is frozen when the run goes on', async () => {
  // As a script does it: at the end of the first epoch, which it does not see again.
  const freezing = async (trainer: Trainer, event: TrainEvent) => {
    if (event.type !== 'epoch' || event.epoch !== 1) return
    trainer.modules[0]?.freeze()
    await trainer.modules[0]?.releaseOptimizer()
  }
  const { ema: _, ...options } = LOOP
  const one = await create()
  const states: TrainingState[] = []
  for await (const event of train(one.trainer, data, options)) {
    await freezing(one.trainer, event)
    if (event.type === 'checkpoint') states.push(await captureState(one.trainer, event.progress))
  }
  assert.equal(
    states.map(({ progress }) => progress.frozen[0]),
    [...[false, false, false], ...[true, true, true, true], true],
  )
  for (const state of states) {
    const other = await create()
    for await (const event of train(other.trainer, data, { ...options, state })) {
      await freezing(other.trainer, event)
    }
    const step = state.progress.step
    same(await weightsOf(one.trainer), await weightsOf(other.trainer), `weights, from ${step}`)
    other.model.dispose()
  }
  one.model.dispose()
})

test('a state of other options, images or networks is refused by what differs', async () => {
  const { checkpoints } = await whole({ ...LOOP, epochs: 1 })
  const state = checkpoints[0]?.state
  const options = { ...LOOP, epochs: 1, state }
  const { model, trainer } = await create()
  const go = async (other: object, set = data, on: Trainer = trainer) => {
    for await (const _ of train(on, set, { ...options, ...other })) return
  }
  await rejects(() => go({ batchSize: 6 }), 'ERR_CONFIG', 'training.batchSize was 8 and is 6')
  await rejects(() => go({ seed: 1 }), 'ERR_CONFIG', 'training.seed')
  await rejects(() => go({ ema: undefined }), 'ERR_CONFIG', 'training.ema was 0.5 and is unset')
  await rejects(() => go({ trainLimit: 16 }), 'ERR_CONFIG', 'data.trainImages was 24 and is 16')
  const images = data.train.images.slice()
  images[5] = (images[5] as number) ^ 1
  const touched = defineDataset({ ...data, train: { ...data.train, images } })
  await rejects(() => go({}, touched), 'ERR_CONFIG', 'data.trainSha256')
  const wider = await SwinTransformer.create({ ...TINY, dropPath: 0.2 })
  const other = await LocalTrainer.create(wider, { ...METHOD, sample: 1 })
  const parts = ['model.dropPath was 0.3 and is 0.2', 'trainer.modules.0.sample was 0.5 and is 1']
  await rejects(() => go({}, data, other), 'ERR_CONFIG', ...parts)
  trainer.modules[0]?.freeze()
  await rejects(() => go({}), 'ERR_CONFIG', 'trainer.frozen.0 was false and is true')
  model.dispose()
  wider.dispose()
})

test('the state of another trainer is refused', async () => {
  const { model, trainer } = await create()
  const { tensors, generator } = await trainer.readState()
  const [name] = Object.keys(tensors) as [string]
  const { [name]: _, ...fewer } = tensors
  await rejects(() => trainer.writeState({ tensors: fewer, generator }), 'ERR_CHECKPOINT', name)
  const more = {
    ...tensors,
    'optimizer.0.exp_avg.nothing': { shape: [], data: new Float32Array(1) },
  }
  await rejects(() => trainer.writeState({ tensors: more, generator }), 'ERR_CHECKPOINT', 'nothing')
  const short = generator.slice(1)
  await rejects(() => trainer.writeState({ tensors, generator: short }), 'ERR_CHECKPOINT', 'bytes')
  // How many numbers are left of the generator's block, and where the next one is: LibTorch would read
  // behind the block where both are its end.
  for (const [left, next] of [
    [624, 624],
    [2, 624],
    [624, 2],
    [0, 0],
    [-1, 0],
    [1, 625],
  ] as const) {
    const beyond = generator.slice()
    const view = new DataView(beyond.buffer)
    view.setInt32(8, left, true)
    view.setBigUint64(16, BigInt(next), true)
    await rejects(
      () => trainer.writeState({ tensors, generator: beyond }),
      'ERR_CHECKPOINT',
      'no state of one',
    )
  }
  await rejects(
    () => trainer.writeState({ tensors, generator: 1 as never }),
    'ERR_CHECKPOINT',
    'generator',
  )
  model.dispose()
})

test('best is the first of the highest accuracies, and evaluations are as far apart as asked', async () => {
  const { model, trainer } = await create()
  const accuracies: number[] = []
  const best: number[] = []
  const evaluated: number[] = []
  for await (const event of train(trainer, data, { ...LOOP, epochs: 5 })) {
    if (event.type === 'evaluation') {
      evaluated.push(event.epoch)
      accuracies.push(event.accuracy)
    }
    if (event.type === 'checkpoint' && event.isBest) best.push(event.epoch)
  }
  assert.equal(evaluated, [2, 4, 5])
  const rising = evaluated.filter((_, i) =>
    accuracies.slice(0, i).every((before) => before < (accuracies[i] as number)),
  )
  assert.equal(best, rising)
  model.dispose()
})

test.run()

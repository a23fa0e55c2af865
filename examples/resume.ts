// A run that keeps itself after every epoch and goes on from there: the first call stops in the second
// epoch, the second one ends as if it had not.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  CheckpointStore,
  captureState,
  LocalTrainer,
  openDataset,
  SwinTransformer,
  train,
} from 'localformer'

const folder = await mkdtemp(path.join(tmpdir(), 'localformer-example-'))
const data = await openDataset('synthetic')

/** Trains from where the folder's run stands, `steps` steps at most. */
async function run(steps: number): Promise<void> {
  await using model = await SwinTransformer.create({
    ...{ variant: 'micro', imageSize: 32, classes: data.classes.length, device: 'cpu' },
  })
  await using trainer = await LocalTrainer.create(model, { method: 'greedy', modules: 4 })
  const store = new CheckpointStore(folder)
  const state = await store.load() // Undefined the first time.
  console.log(`begins at step ${(state?.progress.step ?? 0) + 1}`)
  const options = { epochs: 3, batchSize: 64, learningRate: 3e-3, ema: 0.9, state }
  for await (const event of train(trainer, data, options)) {
    if (event.type === 'checkpoint') {
      await store.save(await captureState(trainer, event.progress))
      console.log(`kept at step ${event.step}`)
    }
    if (event.type === 'step' && event.step === steps) return
    if (event.type === 'done') console.log(`ended at step ${event.steps}`)
  }
}

await run(12)
await run(Number.POSITIVE_INFINITY)
await rm(folder, { recursive: true })

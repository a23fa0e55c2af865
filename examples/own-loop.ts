// A loop of one's own that keeps a run: every step is recorded, each epoch saved, and a report written.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  batches,
  createRun,
  evaluate,
  LocalTrainer,
  openDataset,
  SwinTransformer,
} from 'localformer'

const directory = await mkdtemp(path.join(tmpdir(), 'localformer-example-'))
const data = await openDataset('synthetic')
await using model = await SwinTransformer.create({
  ...{ variant: 'micro', imageSize: 32, classes: data.classes.length },
})
await using trainer = await LocalTrainer.create(model, { method: 'greedy', modules: 4 })
await using run = await createRun({ trainer, data }, { directory })

for (let epoch = 1; epoch <= 2; epoch++) {
  for (const batch of batches(data.train, {
    batchSize: 64,
    shuffle: true,
    epoch,
    dropLast: true,
  })) {
    const step = await trainer.step(batch, { learningRate: 3e-3 })
    run.record({ step, images: batch.labels.length, epoch, learningRate: 3e-3 })
  }
  run.record({ epoch, epochs: 2 })
  const evaluation = await evaluate(trainer, data.test, { limit: 128 })
  run.record({ evaluation })
  run.record({ metrics: { 'own/parameters': model.parameterCount } })
  await run.save({ epochEnded: true })
  console.log(`epoch ${epoch}: test accuracy ${(evaluation.accuracy * 100).toFixed(1)} %`)
}
const { steps, directory: folder } = await run.finish()
console.log(`${steps} steps, kept in a folder with report.html: ${path.basename(folder) !== ''}`)
await rm(directory, { recursive: true })

// Freezes the first module after the first epoch: from then on it only passes features on.
import { LocalTrainer, openDataset, SwinTransformer, train } from 'localformer'

const data = await openDataset('synthetic')
await using model = await SwinTransformer.create({
  variant: 'micro',
  imageSize: 32,
  classes: data.classes.length,
})
await using trainer = await LocalTrainer.create(model, { method: 'greedy', modules: 4 })

const options = { epochs: 2, batchSize: 64, learningRate: 3e-3, testLimit: 0 }
for await (const event of train(trainer, data, options)) {
  if (event.type === 'step') {
    const learned = event.modules.map((module) => (module.learned ? 'learns' : 'passes on'))
    console.log(`step ${event.step}: ${learned.join(', ')}`)
  }
  if (event.type === 'epoch' && event.epoch === 1) {
    const first = trainer.modules[0]
    first?.freeze()
    // What the optimizer kept for it is not needed any more.
    await first?.releaseOptimizer()
  }
}

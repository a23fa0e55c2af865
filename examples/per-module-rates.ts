// An optimizer and a learning rate for each module.
import { LocalTrainer, openDataset, SwinTransformer, train } from 'localformer'

const data = await openDataset('synthetic')
await using model = await SwinTransformer.create({
  variant: 'micro',
  imageSize: 32,
  classes: data.classes.length,
})
await using trainer = await LocalTrainer.create(model, {
  method: 'paper',
  modules: 4,
  weightDecay: 0.05,
  // By index, over the options of all; null: as all.
  perModule: [{ optimizer: 'sgd', momentum: 0.9 }, null, null, { weightDecay: 0.1 }],
})
for (const { name, optimizer } of trainer.modules) {
  console.log(`${name}: ${optimizer.name}, weight decay ${optimizer.weightDecay}`)
}

// Each rises and falls as one rate for all would.
const learningRate = [3e-2, 3e-3, 2e-3, 1e-3]
for await (const event of train(trainer, data, { epochs: 3, batchSize: 64, learningRate })) {
  if (event.type === 'epoch') {
    const losses = event.modules.map(({ labelLoss }) => labelLoss?.toFixed(3))
    console.log(`epoch ${event.epoch}: label losses ${losses.join(', ')}`)
  }
  if (event.type === 'done') {
    console.log(`test accuracy ${((event.evaluation?.accuracy ?? 0) * 100).toFixed(1)} %`)
  }
}

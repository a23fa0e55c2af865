// Drives the modules by hand: each one learns from what the module before it gave, and is done
// before the next begins. What a trainer's own `step` does, with room for your code in between.
import { batches, type Features, LocalTrainer, openDataset, SwinTransformer } from 'localformer'

const data = await openDataset('synthetic')
await using model = await SwinTransformer.create({
  variant: 'micro',
  imageSize: 32,
  classes: data.classes.length,
})
await using trainer = await LocalTrainer.create(model, { method: 'paper', modules: 4 })

for (const batch of batches(data.train, { batchSize: 64, shuffle: true })) {
  let features: Features = await trainer.features(batch)
  const losses: string[] = []
  for (const module of trainer.modules) {
    const step = await module.step(features, batch.labels, { learningRate: 3e-3 })
    features.dispose()
    features = step.features
    losses.push(`${module.name} ${step.labelLoss.toFixed(3)}`)
  }
  features.dispose()
  console.log(losses.join(', '))
}

// Without learning: the output of the first two modules for eight test images.
const [batch] = batches(data.test, { batchSize: 8 })
if (batch === undefined) throw new Error('no test images')
let features: Features = await trainer.features(batch)
for (const module of trainer.modules.slice(0, 2)) {
  const next = await module.forward(features)
  features.dispose()
  features = next
}
console.log(`features after ${trainer.modules[1]?.name}: ${features.shape.join(' x ')}`)
features.dispose()

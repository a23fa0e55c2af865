// Trains the modules one after the other: one optimizer at a time is in memory, and what stands
// behind the module that learns does not run.
import { LocalTrainer, memory, openDataset, SwinTransformer, train } from 'localformer'

const data = await openDataset('synthetic')
await using model = await SwinTransformer.create({
  variant: 'micro',
  imageSize: 32,
  classes: data.classes.length,
  device: 'cpu',
})
await using trainer = await LocalTrainer.create(model, { method: 'greedy', modules: 4 })
console.log(`all optimizers: ${memory.allocated()} bytes`)

const options = {
  schedule: 'sequential',
  epochs: 2, // Of each module.
  batchSize: 64,
  learningRate: 3e-3,
} as const
for await (const event of train(trainer, data, options)) {
  if (event.type === 'epoch' && event.activeModule !== null) {
    const loss = event.modules[event.activeModule]?.labelLoss?.toFixed(3)
    const bytes = memory.allocated()
    console.log(`module ${event.activeModule + 1}: label loss ${loss}, ${bytes} bytes`)
  }
  if (event.type === 'done') {
    console.log(`test accuracy ${((event.evaluation?.accuracy ?? 0) * 100).toFixed(1)} %`)
  }
}

// A run of a script's own images with everything that `localformer train` keeps: checkpoints, logs,
// report, summary. A logger of one's own hears every figure; a second process would go on from the folder.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  createRun,
  defineDataset,
  evaluateRun,
  LocalTrainer,
  type Logger,
  loadRun,
  resumeRun,
  SwinTransformer,
} from 'localformer'

/** Bright and dark noise, 32 x 32 pixels. */
function images(count: number) {
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 2)
  const pixels = new Uint8Array(count * 3 * 32 * 32)
  for (let i = 0; i < pixels.length; i++) {
    const isBright = labels[Math.floor(i / (3 * 32 * 32))] === 1
    pixels[i] = Math.random() * 128 + (isBright ? 128 : 0)
  }
  return { images: pixels, labels, height: 32, width: 32 }
}

const data = defineDataset({
  name: 'mine',
  classes: ['dark', 'bright'],
  train: images(128),
  test: images(32),
})
const directory = await mkdtemp(path.join(tmpdir(), 'localformer-example-'))
const logger: Logger = {
  name: 'console',
  log: ({ step, scalars }) => {
    const loss = scalars['label_loss/module_1']
    if (loss !== undefined) console.log(`step ${step}: label loss of module 1 ${loss.toFixed(3)}`)
  },
}

await using model = await SwinTransformer.create({ variant: 'micro', imageSize: 32, classes: 2 })
await using trainer = await LocalTrainer.create(model, { method: 'paper', modules: 4 })
const options = { epochs: 2, batchSize: 32, learningRate: 3e-3 }
{
  await using run = await createRun({ trainer, data, options }, { directory, loggers: [logger] })
  for await (const event of run.events()) {
    if (event.type === 'epoch') console.log(`epoch ${event.epoch} of ${event.epochs}`)
  }
}
// As another script would: from the folder alone, further than it was trained.
{
  await using run = await resumeRun(directory, { data, epochs: 3 })
  const { steps, evaluation } = await run.finish()
  console.log(`${steps} steps, test accuracy ${evaluation?.accuracy}`)
}
const run = await loadRun(directory, 'cpu')
await using _ = run.model
console.log((await evaluateRun(run, data)).perClass.map(({ recall }) => recall))
await rm(directory, { recursive: true })

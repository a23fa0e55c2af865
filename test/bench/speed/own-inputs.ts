// What every contender of a shape begins with, written once: weights, one batch, and images for a loader.
// node own-inputs.js REQUEST; see contender.ts.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { takeImages } from '../../../lib/datasets/draw-batches.js'
import { openDataset } from '../../../lib/datasets/open.js'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import { exportWeights } from '../../../lib/weights/export-weights.js'
import { floatBatch } from '../../helpers/tiny.js'
import type { Request } from './contender.js'
import { createModel, runOwn } from './own-network.js'

const request = JSON.parse(process.argv[2] ?? '') as Request
const { imageSize, batchSize, warmup, steps, inputs, cifar10 } = request
const write = (name: string, data: Uint8Array | Float32Array | Int32Array) =>
  writeFileSync(path.join(inputs, name), data)

await runOwn(async () => {
  await using model = await createModel(request)
  await exportWeights(model, path.join(inputs, 'timm.safetensors'))
  // torchvision pads windows that are larger than the map, and has no such network.
  if (imageSize === 224) {
    await exportWeights(model, path.join(inputs, 'torchvision.safetensors'), {
      format: 'torchvision',
    })
  }
  const batch = floatBatch(batchSize, 0, imageSize)
  write('images.f32', batch.images)
  write('labels.i32', batch.labels)

  const count = batchSize * (warmup + steps)
  const { train } =
    cifar10 !== undefined && imageSize === 32
      ? await openDataset('cifar10', { dataDir: cifar10 })
      : syntheticDataset({ trainCount: count, testCount: 1, imageSize })
  const { images, labels, mean, std } = takeImages(
    train,
    Uint32Array.from({ length: count }, (_, index) => index),
  )
  write('train-images.u8', images)
  write('train-labels.i32', Int32Array.from(labels))
  writeFileSync(path.join(inputs, 'train.json'), JSON.stringify({ mean, std }))
})

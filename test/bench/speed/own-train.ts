// The package's own training loop with crop and flip, alone or as a run that keeps its files.
// node own-train.js REQUEST; see contender.ts. A step's time is that from one step's event to the next.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { defineDataset } from '../../../lib/datasets/dataset.js'
import { createRun } from '../../../lib/runs/create-run.js'
import type { TrainOptions } from '../../../lib/train/options.js'
import { train } from '../../../lib/train/train.js'
import type { OwnWork, Request } from './contender.js'
import {
  createModel,
  createTrainerOf,
  LEARNING_RATE,
  readBytes,
  runOwn,
  type StepRecord,
  writeAnswer,
} from './own-network.js'

const request = JSON.parse(process.argv[2] ?? '') as Request & OwnWork
const { inputs, imageSize, batchSize, log = false } = request

await runOwn(async () => {
  const split = {
    images: new Uint8Array(readFileSync(path.join(inputs, 'train-images.u8'))),
    labels: Uint8Array.from(new Int32Array(readBytes(path.join(inputs, 'train-labels.i32')))),
    ...{ height: imageSize, width: imageSize },
  }
  const data = defineDataset({
    name: 'bench',
    classes: Array.from({ length: 10 }, (_, label) => `class ${label}`),
    ...{ train: split, test: split },
  })
  const options: TrainOptions = {
    ...{ epochs: 1, batchSize, learningRate: LEARNING_RATE, warmup: 0, testLimit: 0 },
    ...{ cropPadding: 4, cropMode: 'zero', flip: true },
  }
  await using model = await createModel(request)
  const trainer = await createTrainerOf(model, request)
  const folder = mkdtempSync(path.join(inputs, 'run-'))
  try {
    const run = log
      ? await createRun({ trainer, data, options }, { directory: path.join(folder, 'run') })
      : undefined
    const records: StepRecord[] = []
    let start = performance.now()
    for await (const event of run?.events() ?? train(trainer, data, options)) {
      if (event.type !== 'step') continue
      const now = performance.now()
      const seconds = (now - start) / 1000
      const { peakAllocatedBytes, modules, tuningSeconds } = event
      const loss = modules.at(-1)?.labelLoss ?? Number.NaN
      records.push({ seconds, loss, peakAllocatedBytes, tuningSeconds })
      start = now
    }
    await run?.dispose()
    writeAnswer(request, records)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

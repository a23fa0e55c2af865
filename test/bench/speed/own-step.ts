// Training steps of a run spec on one batch. node own-step.js REQUEST; see contender.ts.
import path from 'node:path'
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
const { inputs, warmup, steps, timeline = false } = request

await runOwn(async () => {
  await using model = await createModel(request)
  const trainer = await createTrainerOf(model, request)
  const batch = {
    images: new Float32Array(readBytes(path.join(inputs, 'images.f32'))),
    labels: new Int32Array(readBytes(path.join(inputs, 'labels.i32'))),
  }
  const records: StepRecord[] = []
  for (let index = 0; index < warmup + steps; index++) {
    const start = performance.now()
    const step = await trainer.step(batch, { learningRate: LEARNING_RATE, timeline })
    const seconds = (performance.now() - start) / 1000
    const { peakAllocatedBytes, modules, tuningSeconds } = step
    const loss = modules.at(-1)?.labelLoss ?? Number.NaN
    records.push({ seconds, loss, peakAllocatedBytes, tuningSeconds })
  }
  writeAnswer(request, records)
})

// The fresh process in which one run spec is measured.
// in: one MeasureRequest over IPC -> out: steps as they are done, then a result or an error.

import { LocalformerError } from '../base/errors.js'
import { packageVersion } from '../base/version.js'
import * as memory from '../device/memory.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import type { TrainStep } from '../local/trainer.js'
import { createTrainer } from '../local/trainer-of-spec.js'
import { type EpochSums, meansOf, withStep } from '../metrics/means.js'
import type { ModuleMeans } from '../metrics/module-metrics.js'
import { loadTorch } from '../native/load.js'
import type { MeasureMessage, Measurement, MeasureRequest } from './measurement.js'

// Memory and time do not depend on it; small, so that a few steps cannot diverge.
const LEARNING_RATE = 1e-4

async function measure(request: MeasureRequest): Promise<Measurement> {
  await using model = await SwinTransformer.create(request.model)
  await using trainer = await createTrainer(
    model,
    request.spec,
    request.training,
    request.batches[0]?.labels?.length,
  )
  if (request.memoryLimitBytes > 0) memory.setLimit(request.memoryLimitBytes)
  const residentBytes = memory.allocated(model.device)
  const steps: TrainStep[] = []
  for (const [index, batch] of request.batches.entries()) {
    if (index === request.warmup) memory.resetPeakStats(model.device)
    const timeline = request.timeline && index === request.batches.length - 1
    const step = await trainer.step(batch, { learningRate: LEARNING_RATE, timeline })
    if (index >= request.warmup) steps.push(step)
    send({ type: 'step', step: index + 1 })
  }
  const means = meansOf(steps.reduce<EpochSums>((sums, { modules }) => withStep(sums, modules), []))
  const highest = (of: (step: TrainStep) => number) => Math.max(...steps.map(of))
  return {
    versions: {
      localformer: packageVersion(),
      libtorch: loadTorch().versions().libtorch,
      node: process.versions.node,
    },
    threads: loadTorch().threads(),
    residentBytes,
    peakAllocatedBytes: highest((step) => step.peakAllocatedBytes),
    peakReservedBytes: highest((step) => step.peakReservedBytes),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    stepSeconds: steps.map((step) => step.seconds),
    perModule: trainer.modules.map((module, k) => ({
      name: module.name,
      units: module.units,
      parameters: module.parameterCount + module.auxiliaryParameterCount,
      reconstructs: module.reconstructs,
      ...(means[k] as ModuleMeans),
    })),
    timeline: steps.at(-1)?.timeline,
  }
}

function send(message: MeasureMessage): void {
  process.send?.(message)
}

process.once('message', (request: MeasureRequest) => {
  measure(request)
    .then((measurement) => send({ type: 'result', measurement }))
    .catch((error: unknown) => {
      const known = error instanceof LocalformerError
      const message = error instanceof Error ? error.message : String(error)
      const hint = known ? error.hint : undefined
      send({
        type: 'error',
        code: known ? error.code : 'ERR_TORCH',
        message,
        ...(hint === undefined ? {} : { hint }),
      })
    })
    .finally(() => process.disconnect())
})

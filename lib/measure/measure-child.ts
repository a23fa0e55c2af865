// The fresh process in which one run spec is measured.
// in: one MeasureRequest over IPC -> out: steps as they are done, then a result or an error.

import { errorMessageOf } from '../base/error-message.js'
import { packageVersion } from '../base/version.js'
import * as memory from '../device/memory.js'
import * as simulation from '../device/simulation.js'
import { recordingMemory, type WriteSnapshot } from '../device/snapshot-recording.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import type { TrainStep } from '../local/trainer.js'
import { createTrainer } from '../local/trainer-of-spec.js'
import { type EpochSums, meansOf, withStep } from '../metrics/means.js'
import { rowsOf } from '../metrics/metric.js'
import { MODULE_METRICS, type ModuleMeans } from '../metrics/module-metrics.js'
import { loadTorch } from '../native/load.js'
import type { MeasureMessage, Measurement, MeasureRequest } from './measurement.js'

// Memory and time do not depend on it; small, so that a few steps cannot diverge.
const LEARNING_RATE = 1e-4

async function measure(request: MeasureRequest): Promise<Measurement> {
  const { memoryLimitBytes, memorySnapshot } = request
  const { device = 'auto' } = request.model
  if (memoryLimitBytes > 0) memory.setLimit(memoryLimitBytes, device)
  return recordingMemory(memorySnapshot, device, (write) => measureSteps(request, write))
}

async function measureSteps(request: MeasureRequest, write: WriteSnapshot): Promise<Measurement> {
  await using model = await SwinTransformer.create(request.model)
  await using trainer = await createTrainer(
    model,
    request.spec,
    request.training,
    request.batches[0]?.labels?.length,
  )
  const residentBytes = memory.allocated(model.device)
  const isSimulated = simulation.card() !== undefined
  const steps: TrainStep[] = []
  let calls: simulation.DeviceCalls | null = null
  let tuningSeconds = 0
  for (const [index, batch] of request.batches.entries()) {
    if (index === request.warmup) memory.resetPeakStats(model.device)
    const isLast = index === request.batches.length - 1
    const before = simulation.calls()
    const step = await trainer.step(batch, {
      learningRate: LEARNING_RATE,
      timeline: request.timeline && isLast,
      calls: request.calls && isLast,
    })
    calls = simulation.callsSince(before)
    tuningSeconds += step.tuningSeconds
    if (index >= request.warmup) steps.push(step)
    send({ type: 'step', step: index + 1 })
  }
  const snapshot = await write()
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
    workspaceBytes: memory.workspaces(model.device),
    peakAllocatedBytes: highest((step) => step.peakAllocatedBytes),
    peakReservedBytes: highest((step) => step.peakReservedBytes),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    stepSeconds: isSimulated ? [] : steps.map((step) => step.seconds),
    tuningSeconds,
    calls,
    perModule: trainer.modules.map((module, k) => ({
      name: module.name,
      units: module.units,
      parameters: module.parameterCount + module.auxiliaryParameterCount,
      reconstructs: module.reconstructs,
      ...(isSimulated ? bytesOf(means[k] as ModuleMeans) : (means[k] as ModuleMeans)),
      ...(request.calls ? { calls: phasesOf(steps.at(-1), k) } : {}),
    })),
    timeline: steps.at(-1)?.timeline,
    snapshot,
  }
}

/** Nothing was computed, nor does the time mean anything. */
function bytesOf(means: ModuleMeans): Omit<ModuleMeans, 'seconds'> & { seconds: number | null } {
  const values = rowsOf(MODULE_METRICS).map(([name, { format }]) => [
    name,
    format === 'bytes' ? means[name] : null,
  ])
  return Object.fromEntries(values)
}

function phasesOf(step: TrainStep | undefined, module: number) {
  const phases = step?.calls?.filter((phase) => phase.module === module) ?? []
  return Object.fromEntries(phases.map(({ phase, calls }) => [phase, calls]))
}

function send(message: MeasureMessage): void {
  process.send?.(message)
}

process.once('message', (request: MeasureRequest) => {
  measure(request)
    .then((measurement) => send({ type: 'result', measurement }))
    .catch((error: unknown) => send(errorMessageOf(error)))
    .finally(() => process.disconnect())
})

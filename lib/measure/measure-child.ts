// The fresh process in which one run spec is measured, or one of several that share it.
// in: one MeasureRequest over IPC -> out: steps as they are done, then a result or an error.

import { errorMessageOf } from '../base/error-message.js'
import { packageVersion } from '../base/version.js'
import type { ImageBatch } from '../batch/batch.js'
import type { Batch } from '../datasets/draw-batches.js'
import * as memory from '../device/memory.js'
import * as simulation from '../device/simulation.js'
import { recordingMemory, type WriteSnapshot } from '../device/snapshot-recording.js'
import { getThreads, setThreads } from '../device/threads.js'
import { destroy, init, orAbandon, type Traffic, traffic, worldSize } from '../distributed/group.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import type { Trainer, TrainStep } from '../local/trainer.js'
import { createTrainer } from '../local/trainer-of-spec.js'
import { type EpochSums, meansOf, withStep } from '../metrics/means.js'
import { rowsOf } from '../metrics/metric.js'
import { MODULE_METRICS, type ModuleMeans } from '../metrics/module-metrics.js'
import { loadTorch } from '../native/load.js'
import type { MeasureMessage, Measurement, MeasureRequest, RankMeasurement } from './measurement.js'

// Memory and time do not depend on it; small, so that a few steps cannot diverge.
const LEARNING_RATE = 1e-4

async function measure(request: MeasureRequest): Promise<Measurement> {
  const { parallel, threads } = request
  if (threads !== undefined) setThreads(threads)
  if (parallel === null) return measureHere(request)
  await init()
  if (threads === undefined) setThreads(Math.max(1, Math.floor(getThreads() / worldSize())))
  const measurement = await orAbandon(() => measureHere(request))
  await destroy()
  return measurement
}

async function measureHere(request: MeasureRequest): Promise<Measurement> {
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
  const { parallel } = request
  if (parallel !== null) await trainer.parallelize({ parallel })
  let residentBytes = memory.allocated(model.device)
  const isSimulated = simulation.card() !== undefined
  const steps: TrainStep[] = []
  let calls: simulation.DeviceCalls | null = null
  let tuningSeconds = 0
  const watch = parallel === null ? undefined : new RankWatch()
  for (const [index, batch] of request.batches.entries()) {
    if (index === request.warmup) {
      memory.resetPeakStats(model.device)
      await watch?.begin()
    }
    const isLast = index === request.batches.length - 1
    const before = simulation.calls()
    const step = await trainer.step(shareOf(batch, trainer), {
      learningRate: LEARNING_RATE,
      timeline: request.timeline && isLast,
      calls: request.calls && isLast,
    })
    calls = simulation.callsSince(before)
    tuningSeconds += step.tuningSeconds
    if (index >= request.warmup) {
      steps.push(step)
      watch?.add(step)
    }
    send({ type: 'step', step: index + 1 })
  }
  // From its first step on a rank has its own modules alone.
  if (watch !== undefined) residentBytes = memory.allocated(model.device)
  const group = (await watch?.result(trainer)) ?? null
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
    stepSeconds: isSimulated ? [] : (watch?.stepSeconds ?? steps.map((step) => step.seconds)),
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
    group,
  }
}

/** Of several ranks what this one is given of a batch; null where features come from another rank. */
function shareOf(batch: ImageBatch, trainer: Trainer): ImageBatch | null {
  if (!trainer.takesBatches) return null
  const { replica = 0, replicas = 1 } = trainer.division ?? {}
  if (replicas === 1) return batch
  // Of a data set.
  const { images, labels } = batch as Batch
  const count = labels.length / replicas
  const each = images.length / labels.length
  const [first, last] = [replica * count, (replica + 1) * count]
  return {
    ...batch,
    images: images.subarray(first * each, last * each),
    labels: labels.subarray(first, last),
  }
}

/** What a rank sees of the measured steps beside what each says of itself. */
class RankWatch {
  readonly #stepSeconds: number[] = []
  #before: Traffic = { sentBytes: 0, receivedBytes: 0, waitSeconds: 0 }
  #last = 0

  /** The steps that come are measured. */
  async begin(): Promise<void> {
    this.#before = await traffic()
    this.#last = performance.now()
  }

  /** A measured step is done. */
  add({ tuningSeconds }: TrainStep): void {
    const now = performance.now()
    this.#stepSeconds.push((now - this.#last) / 1000 - tuningSeconds)
    this.#last = now
  }

  get stepSeconds(): readonly number[] {
    return this.#stepSeconds
  }

  async result({ division }: Trainer): Promise<RankMeasurement> {
    const { sentBytes, receivedBytes, waitSeconds } = await traffic()
    const steps = this.#stepSeconds.length
    const seconds = this.#stepSeconds.reduce((sum, one) => sum + one, 0)
    return {
      modules: [division?.first ?? 0, division?.last ?? 0],
      sentBytes: (sentBytes - this.#before.sentBytes) / steps,
      receivedBytes: (receivedBytes - this.#before.receivedBytes) / steps,
      waitedShare: Math.min(1, (waitSeconds - this.#before.waitSeconds) / seconds),
    }
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

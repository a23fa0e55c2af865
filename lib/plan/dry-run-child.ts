// The process in which steps are tried, one configuration after the other.
// in: calls over IPC -> out: an answer to each, in order.
import { errorMessageOf } from '../base/error-message.js'
import { LocalformerError } from '../base/errors.js'
import { cardOfDevice, type DeviceName, resolveDevice } from '../device/device.js'
import * as memory from '../device/memory.js'
import * as simulation from '../device/simulation.js'
import { setThreads } from '../device/threads.js'
import { measuredBatch } from '../local/measured-batch.js'
import { type ModuleParameters, parametersOfModules, valuesOf } from '../local/module-parameters.js'
import { parseRunSpec } from '../local/run-spec.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import type { Trainer, TrainStep } from '../local/trainer.js'
import { createTrainer } from '../local/trainer-of-spec.js'
import { PHASES, type Phase } from '../local/words.js'
import { loadTorch } from '../native/load.js'
import type {
  AskingProcess,
  DryRunCall,
  DryRunFailure,
  DryRunMeasurement,
  DryRunMessage,
  DryRunRequest,
  DryRunResult,
  DryRunTarget,
  ModuleTimes,
} from './dry-run.js'

// Nothing is learned; small, so that steps that are computed cannot diverge.
const LEARNING_RATE = 1e-4

let device = 'cpu'

function start(
  { device: wanted, computes }: DryRunTarget,
  asking: AskingProcess | undefined,
): DryRunMessage {
  if (asking !== undefined && cardOfDevice(wanted) === undefined) {
    loadTorch({ libtorch: asking.libtorch })
  }
  device = resolveDevice(wanted).name
  const torch = loadTorch()
  if (asking !== undefined) torch.setThreads(asking.threads)
  if (!computes) torch.setDryRuns(true)
  const { totalBytes, freeBytes } = memory.info(device)
  const processBytes = process.memoryUsage.rss()
  const { cpuCapability } = torch.versions()
  const threads = torch.threads()
  return { type: 'ready', cpuCapability, threads, processBytes, totalBytes, freeBytes }
}

async function run(request: DryRunRequest): Promise<DryRunResult> {
  try {
    memory.setLimit(request.limitBytes, device)
    return await tried(request)
  } catch (error) {
    if (!(error instanceof LocalformerError) || error.code !== 'ERR_OUT_OF_MEMORY') throw error
    const { module, phase } = error as { module?: string; phase?: string }
    const failure: DryRunFailure = {
      ...{ status: 'out_of_memory', message: error.message },
      ...{ module: module || null, phase: phase || null },
    }
    return failure
  } finally {
    // The next one begins as a fresh process does.
    memory.emptyCache(device)
    memory.setLimit(0, device)
  }
}

async function tried(request: DryRunRequest): Promise<DryRunMeasurement> {
  const { batchSize, training, ema } = request
  const before = memory.allocated(device)
  await using model = await SwinTransformer.of({
    ...request.network,
    device: device as DeviceName,
  })
  const withModel = memory.allocated(device)
  await using trainer = await createTrainer(model, parseRunSpec(request.run), training, batchSize)
  const withTrainer = memory.allocated(device)
  if (ema !== null) await trainer.keepAverage(ema)
  const residentBytes = memory.allocated(device)
  const workspaceBytes = memory.workspaces(device)
  const batch = imagesOf(request)
  await step(trainer, batch, false)
  memory.resetPeakStats(device)
  memory.resetAccumulatedStats(device)
  const work = loadTorch().countedWork()
  const callsBefore = simulation.calls()
  const last = await step(trainer, batch, true)
  const workNow = loadTorch().countedWork()
  const calls = simulation.callsSince(callsBefore)
  const { allocatedBytes, allocation } = memory.stats(device)
  const parameters = parametersOfModules(trainer)
  return {
    ...{ status: 'ok', residentBytes, workspaceBytes },
    // Workspaces are there from the first network on.
    weightBytes: withModel - (device === 'cpu' ? before : workspaceBytes),
    optimizerBytes: withTrainer - withModel,
    averageBytes: residentBytes - withTrainer,
    peakAllocatedBytes: last.peakAllocatedBytes,
    peakReservedBytes: memory.maxReserved(device),
    cuts: trainer.cuts,
    modules: trainer.modules.map((module, k) => ({
      ...{ name: module.name, units: module.units },
      parameters: module.parameterCount + module.auxiliaryParameterCount,
      peakAllocatedBytes: last.modules[k]?.peakAllocatedBytes ?? 0,
      smallBytes: smallBytes(parameters[k] as ModuleParameters),
      featureBytes: last.modules[k]?.featureBytes ?? 0,
      phasePeakBytes: phasePeaks(last, k),
    })),
    work: {
      operations: {
        float32: workNow.float32 - work.float32,
        bfloat16: workNow.bfloat16 - work.bfloat16,
      },
      allocatedBytes: allocatedBytes.all.allocated,
      allocations: allocation.all.allocated,
      updatedBytes: residentBytes - workspaceBytes,
      launches: calls === null ? null : calls.launches + calls.products,
      transferBytes: (last.transfers?.toDeviceBytes ?? 0) + (last.transfers?.toHostBytes ?? 0),
    },
    isLowerBound: (calls?.cudnnCalls ?? 0) > 0,
    stepSeconds: last.seconds,
  }
}

/** As native/core/distributed/gradient_sum.h has it. */
const SMALL_BYTES = 2 ** 20

function smallBytes({ segment, auxiliary }: ModuleParameters): number {
  return [...segment, ...auxiliary]
    .map(({ shape }) => 4 * valuesOf(shape))
    .filter((bytes) => bytes < SMALL_BYTES)
    .reduce((sum, bytes) => sum + bytes, 0)
}

function imagesOf({ network, batchSize }: DryRunRequest) {
  const { imageSize } = network
  return {
    images: new Uint8Array(batchSize * 3 * imageSize ** 2),
    labels: new Int32Array(batchSize),
    ...{ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
  }
}

function step(trainer: Trainer, batch: ReturnType<typeof imagesOf>, timeline: boolean) {
  return trainer.step(batch, { learningRate: LEARNING_RATE, timeline })
}

function phasePeaks({ timeline = [] }: TrainStep, module: number) {
  const peaks = PHASES.map((phase) => {
    const own = timeline.filter((point) => point.module === module && point.phase === phase)
    return [phase, own.reduce((most, { allocatedBytes }) => Math.max(most, allocatedBytes), 0)]
  })
  return Object.fromEntries(peaks) as Record<Phase, number>
}

/** Of a batch the fastest of so many steps counts: other work on the machine makes one slower, none faster. */
const TIMED_STEPS = 3

/** From steps of two small batches. */
async function times({
  threads,
  ...request
}: DryRunRequest & { threads?: number }): Promise<ModuleTimes> {
  if (threads !== undefined) setThreads(threads)
  const { network, run, training } = request
  await using model = await SwinTransformer.of({ ...network, device: device as DeviceName })
  const large = measuredBatch(model)
  const small = Math.max(1, large >> 2)
  await using trainer = await createTrainer(model, parseRunSpec(run), training, large)
  const ofSmall = await fastest(trainer, { ...request, batchSize: small })
  const ofLarge = await fastest(trainer, { ...request, batchSize: large })
  const modules = ofLarge.map((most, k) => {
    const least = Math.min(ofSmall[k] ?? most, most)
    const secondsPerImage = large === small ? most / large : (most - least) / (large - small)
    return { secondsPerImage, secondsPerStep: Math.max(0, most - large * secondsPerImage) }
  })
  return { cuts: trainer.cuts, modules }
}

/** Seconds of each module in a step. */
async function fastest(trainer: Trainer, request: DryRunRequest): Promise<readonly number[]> {
  const batch = imagesOf(request)
  await step(trainer, batch, false)
  const seconds = trainer.modules.map(() => Infinity)
  for (let round = 0; round < TIMED_STEPS; round++) {
    const { modules } = await step(trainer, batch, false)
    for (const [k, module] of modules.entries()) {
      seconds[k] = Math.min(seconds[k] as number, module.seconds)
    }
  }
  return seconds
}

function send(message: DryRunMessage): void {
  process.send?.(message)
}

async function answer(call: DryRunCall): Promise<void> {
  try {
    if (call.type === 'start') send(start(call.target, call.asking))
    else if (call.type === 'time') send({ type: 'times', times: await times(call.request) })
    else send({ type: 'result', result: await run(call.request) })
  } catch (error) {
    send(errorMessageOf(error))
  }
}

process.on('message', (call: DryRunCall) => void answer(call))
// Whoever asked is gone, however it ended.
process.on('disconnect', () => process.exit())

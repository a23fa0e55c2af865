// What `localformer summary` shows: a network's units, and how run specs cut it into modules.
// Random weights are built to measure what stays resident; nothing is trained.
import * as memory from '../device/memory.js'
import type { ModuleTrainer } from './module-trainer.js'
import { modulesOfSpec, type RunSpec } from './run-spec.js'
import { describeSplit, resolveSplit } from './splits.js'
import {
  resolveSwinConfig,
  type SwinConfig,
  type SwinOptions,
  SwinTransformer,
} from './swin-transformer.js'
import { createTrainer } from './trainer-of-spec.js'
import type { Method } from './words.js'

export interface UnitSummary {
  readonly name: string
  /** Without the batch: [height, width, channels], or [classes]. */
  readonly outputShape: readonly number[]
  readonly parameters: number
}

export interface ModuleSummary {
  readonly name: string
  readonly units: readonly string[]
  readonly parameters: number
  /** Of the head and the decoder, which are not part of the network. */
  readonly auxiliaryParameters: number
  readonly reconstructs: boolean
  /** Weights of the segment and its auxiliary parts, float32. */
  readonly weightBytes: number
  /** AdamW's two moments, which are there before the first step. */
  readonly optimizerBytes: number
}

export interface RunSummary {
  readonly spec: string
  readonly method: Method
  readonly split: string
  readonly decoder: string | null
  readonly modules: readonly ModuleSummary[]
  /**
   * Measured: what network, auxiliary parts and optimizers take of the device's allocator between
   * steps. More than the sum over the modules by the allocator's rounding and the buffers.
   */
  readonly residentBytes: number
}

export interface Summary {
  readonly device: string
  readonly deviceReason: string
  readonly config: SwinConfig
  readonly units: readonly UnitSummary[]
  readonly parameters: number
  readonly runs: readonly RunSummary[]
}

const FLOAT_BYTES = 4

/**
 * @throws {LocalformerError} `ERR_CONFIG` before LibTorch is opened, where the sizes or a split are
 *   impossible; what `SwinTransformer.create` throws.
 */
export async function summarize(
  options: SwinOptions,
  specs: readonly RunSpec[],
  { memoryLimitBytes }: { readonly memoryLimitBytes?: number } = {},
): Promise<Summary> {
  const { depths, seed, device: wanted } = resolveSwinConfig(options)
  for (const spec of specs) resolveSplit(spec.split, modulesOfSpec(spec, depths), depths)
  if (memoryLimitBytes !== undefined) memory.setLimit(memoryLimitBytes, wanted)
  await using model = await SwinTransformer.create(options)
  const runs: RunSummary[] = []
  for (const spec of specs) runs.push(await summarizeRun(model, spec, seed))
  const { device, deviceReason, config, parameterCount: parameters } = model
  const units = model.units.map(({ name, outputShape, parameterCount }) => {
    return { name, outputShape, parameters: parameterCount }
  })
  return { device, deviceReason, config, units, parameters, runs }
}

async function summarizeRun(
  model: SwinTransformer,
  spec: RunSpec,
  seed: number,
): Promise<RunSummary> {
  await using trainer = await createTrainer(model, spec, { seed })
  return {
    spec: spec.text,
    method: spec.method,
    split: describeSplit(spec.split),
    decoder: spec.target === 'none' || spec.method === 'backprop' ? null : spec.decoder,
    modules: trainer.modules.map(summarizeModule),
    residentBytes: memory.allocated(model.device),
  }
}

function summarizeModule(module: ModuleTrainer): ModuleSummary {
  const { name, units, parameterCount, auxiliaryParameterCount, reconstructs } = module
  const weightBytes = (parameterCount + auxiliaryParameterCount) * FLOAT_BYTES
  return {
    name,
    units,
    parameters: parameterCount,
    auxiliaryParameters: auxiliaryParameterCount,
    reconstructs,
    weightBytes,
    optimizerBytes: 2 * weightBytes,
  }
}

// What `offload` copies between host and device, by arithmetic.
// in: a trainer's modules and the shapes of its weights -> out: bytes of one step, and on the host.
import { expected, LocalformerError } from '../base/errors.js'
import { isHandle } from '../native/handle.js'
import { parametersOfModules, valuesOf } from './module-parameters.js'
import type { ModuleSettings } from './native-trainer.js'
import type { Parameter } from './swin-transformer.js'
import { Trainer } from './trainer.js'
import type { Offload } from './words.js'

/** What one step copies, and what host memory keeps between steps. */
export interface PredictedTransfers {
  readonly toDeviceBytes: number
  readonly toHostBytes: number
  readonly hostBytes: number
}

/** Every tensor begins at a multiple of so many bytes (native/core/memory/offloaded_tensors.h). */
const ALIGNMENT = 512
const FLOAT_BYTES = 4

/**
 * What {@link Trainer.step} copies between host and device for `offload` where every module that is
 * not frozen learns: each module's weights and state once to the device, and once back where it
 * learned. `offload=optimizer`: 8 bytes a weight each way for AdamW, 4 for SGD, 4 more for an
 * average; `modules`: 4 more for the weights. Every tensor is rounded up to 512 bytes.
 *
 * @throws {LocalformerError} `ERR_CONFIG`, `ERR_DISPOSED`.
 */
export function predictTransfers(trainer: Trainer): PredictedTransfers {
  if (!isHandle(trainer, Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a trainer', 'trainer', typeof trainer))
  }
  const sizes = { toDeviceBytes: 0, toHostBytes: 0, hostBytes: 0 }
  for (const { segment, auxiliary, settings, frozen } of partsOfModules(trainer)) {
    const offload = settings.offload as Offload | undefined
    if (offload === undefined || offload === 'none') continue
    const weights = segment.bytes + auxiliary.bytes
    const tensors = segment.tensors + auxiliary.tensors
    const moments = momentsOf(settings)
    const average = trainer.averageDecay === undefined ? 0 : weights
    // The state has the number of updates for each tensor.
    const state = moments * weights + tensors * ALIGNMENT + average
    const kept = offload === 'modules' ? weights : 0
    sizes.hostBytes += state + kept
    // Without learning it passes features through its segment alone.
    const passed = offload === 'modules' ? segment.bytes : 0
    sizes.toDeviceBytes += frozen ? passed : state + kept
    sizes.toHostBytes += frozen ? 0 : state + kept
  }
  return sizes
}

/** Values that the optimizer keeps for each weight. */
export function momentsOf({ optimizer, momentum }: ModuleSettings): number {
  if (optimizer !== 'sgd') return 2
  return momentum === 0 ? 0 : 1
}

interface Part {
  readonly tensors: number
  readonly bytes: number
}

function partsOfModules(trainer: Trainer) {
  return parametersOfModules(trainer).map(({ segment, auxiliary }, k) => ({
    segment: partOf(segment),
    auxiliary: partOf(auxiliary),
    settings: trainer.recipe.modules[k] ?? ({} as ModuleSettings),
    frozen: trainer.modules[k]?.frozen ?? false,
  }))
}

function partOf(parameters: readonly Parameter[]): Part {
  const bytesOf = ({ shape }: Parameter) =>
    Math.ceil((valuesOf(shape) * FLOAT_BYTES) / ALIGNMENT) * ALIGNMENT
  const bytes = parameters.reduce((sum, parameter) => sum + bytesOf(parameter), 0)
  return { tensors: parameters.length, bytes }
}

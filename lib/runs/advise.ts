// What a run that is out of memory is told besides: changes after which it fits.
import { LocalformerError } from '../base/errors.js'
import { resolveInput } from '../config/resolve.js'
import type { TrainingConfig } from '../config/schema.js'
import { getDeviceProperties } from '../device/cuda.js'
import type { SwinTransformer } from '../local/swin-transformer.js'
import { adviceText, adviseOnMemory, type Suggestion } from '../plan/advice.js'
import { cpuTarget, gpuTarget, type PlanTarget } from '../plan/target.js'

/**
 * The error itself; of `ERR_OUT_OF_MEMORY` one that has `suggestions` (each tried, and found to fit) and
 * says them in its hint. What cannot be advised on, for want of a planner that works, stays as it is.
 */
export async function withAdvice(
  error: unknown,
  { config, model }: { readonly config: TrainingConfig; readonly model: SwinTransformer },
): Promise<unknown> {
  if (!(error instanceof LocalformerError) || error.code !== 'ERR_OUT_OF_MEMORY') return error
  const { message, hint, cause, ...details } = error as LocalformerError & { limitBytes?: number }
  const suggestions = await suggestionsFor(config, model, details.limitBytes)
  const own = suggestions.length === 0 ? hint : adviceText(suggestions)
  return new LocalformerError('ERR_OUT_OF_MEMORY', message, {
    ...(own === undefined ? {} : { hint: own }),
    cause: error,
    details: { ...details, suggestions },
  })
}

async function suggestionsFor(
  config: TrainingConfig,
  { config: { classes }, device }: SwinTransformer,
  limitBytes: number | undefined,
): Promise<readonly Suggestion[]> {
  try {
    const target = targetOf(device, limitBytes)
    return await adviseOnMemory({ config: resolveInput(config), classes, target })
  } catch {
    return []
  }
}

/** The CPU, or the device's card as it is simulated: it is full, so that nothing can be tried on it. */
function targetOf(device: string, limitBytes: number | undefined): PlanTarget {
  if (device === 'cpu') return cpuTarget(limitBytes)
  const index = Number(device.slice('cuda:'.length))
  const { name, totalMemoryBytes, major, minor } = getDeviceProperties(index)
  const described = `${totalMemoryBytes}B,sm_${major}${minor}`
  const limit = limitBytes !== undefined && limitBytes < totalMemoryBytes ? limitBytes : undefined
  try {
    return gpuTarget(name, limit)
  } catch {
    return gpuTarget(described, limit)
  }
}

// What a run that is out of memory is told besides: changes after which it fits.
import { LocalformerError } from '../base/errors.js'
import { resolveInput } from '../config/resolve.js'
import type { TrainingConfig } from '../config/schema.js'
import type { SwinTransformer } from '../local/swin-transformer.js'
import { adviseOnMemory, type Change, changeText } from '../plan/advice.js'
import { cpuTarget, gpuOfDevice, gpuTarget, type PlanTarget } from '../plan/target.js'

/**
 * The error itself; of `ERR_OUT_OF_MEMORY` one that has `changes`, each tried and found to fit, and says
 * them as its `suggestions` and in its hint. What cannot be advised on, for want of a planner that works,
 * stays as it is, and what is no longer looked for when the signal aborts.
 */
export async function withAdvice(
  error: unknown,
  { config, model }: { readonly config: TrainingConfig; readonly model: SwinTransformer },
  signal: AbortSignal | undefined,
): Promise<unknown> {
  if (!(error instanceof LocalformerError) || error.code !== 'ERR_OUT_OF_MEMORY') return error
  const {
    message,
    hint: _,
    cause: __,
    ...details
  } = error as LocalformerError & { limitBytes?: number }
  const changes = await changesFor(config, model, details.limitBytes, signal)
  if (changes.length === 0) return error
  const suggestions = changes.map(changeText)
  return new LocalformerError('ERR_OUT_OF_MEMORY', message, {
    hint: [HEAD, ...suggestions.map((line) => `  ${line}`)].join('\n'),
    cause: error,
    details: { ...details, suggestions, changes },
  })
}

const HEAD = 'What would fit, tried in other processes, the fastest by estimate first:'

async function changesFor(
  config: TrainingConfig,
  { config: { classes }, device }: SwinTransformer,
  limitBytes: number | undefined,
  signal: AbortSignal | undefined,
): Promise<readonly Change[]> {
  try {
    const target = targetOf(device, limitBytes)
    return await adviseOnMemory({ config: resolveInput(config), classes, target }, signal)
  } catch {
    return []
  }
}

/** The CPU, or the device's card as it is simulated: it is full, so that nothing can be tried on it. */
function targetOf(device: string, limitBytes: number | undefined): PlanTarget {
  if (device === 'cpu') return cpuTarget(limitBytes)
  return gpuTarget(gpuOfDevice(device), limitBytes)
}

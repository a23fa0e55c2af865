// A balanced split of a network for the options that it is trained with, by measuring its modules.
import { LocalformerError } from '../base/errors.js'
import { balance, modulePeak, type UnitCost } from './balance.js'
import { weighedBatch } from './measured-batch.js'
import type { ResolvedLocalOptions } from './methods.js'
import { nested, recipeOf } from './native-trainer.js'
import { momentsOf } from './offload.js'
import { resolveSplit, unitNames } from './splits.js'
import type { SwinTransformer } from './swin-transformer.js'

/**
 * Index behind the last unit of each module. Modules are measured on a batch of zeros, of the size that
 * they are balanced for where the images are small; else on a smaller one, scaled as their units' costs are.
 */
export async function balancedEnds(
  model: SwinTransformer,
  o: ResolvedLocalOptions,
): Promise<readonly number[]> {
  const { depths } = model.config
  const { recompute, dtype, balanceFor, modules } = o
  // On a card units that are computed again take as much of the batch at a time as its size tells.
  const isWhole = recompute === 'block' && model.device !== 'cpu'
  const batchSize = isWhole ? balanceFor : weighedBatch(model, balanceFor)
  const { costs, images } = await unitsMeasured(model, batchSize, { recompute, dtype })
  const reconstructs = o.target === 'features'
  const estimate = (scale: number) => (begin: number, end: number) =>
    modulePeak(costs, begin, end, { scale: scale / o.accumulate, reconstructs })
  const [small, whole] = [estimate(batchSize / images), estimate(balanceFor / images)]
  const measure = async (begin: number, end: number) => {
    // A module alone is weighed as the first of two, or the last.
    const recipe = recipeOf(o, [end, costs.length])
    const module = nested(recipe.modules[0] ?? {})
    try {
      const measured = { begin, end, batchSize, module }
      const { residentBytes, peakBytes } = await remembered(model, measured, () =>
        model.measureModule(measured),
      )
      const peak = (peakBytes * whole(begin, end)) / small(begin, end)
      if (o.offload !== 'modules') return { residentBytes, peakBytes: peak }
      // Nothing of it is there while others are at work.
      const weights = costs.slice(begin, end).reduce((sum, unit) => sum + unit.gradientBytes, 0)
      const own = residentBytes + weights * (1 + momentsOf({ ...o }))
      return { residentBytes: 0, peakBytes: peak + own }
    } catch (error) {
      if (isOutOfMemory(error)) return undefined
      throw error
    }
  }
  const rival = modules <= depths.length ? resolveSplit('stages', modules, depths) : undefined
  const units = unitNames(depths).length
  return balance({ units, modules, estimate: whole, measure, rival })
}

/**
 * Of the batch, or the largest half, quarter and so on of it that there is room for: a module that is
 * measured as a whole may take less than its units alone.
 */
async function unitsMeasured(
  model: SwinTransformer,
  batchSize: number,
  options: Pick<ResolvedLocalOptions, 'recompute' | 'dtype'>,
): Promise<{ readonly costs: readonly UnitCost[]; readonly images: number }> {
  for (let images = batchSize; ; images = Math.ceil(images / 2)) {
    try {
      const costs = await remembered(model, { images, ...options }, () =>
        model.measureUnits(images, options),
      )
      return { costs, images }
    } catch (error) {
      if (images === 1 || !isOutOfMemory(error)) throw error
    }
  }
}

const isOutOfMemory = (error: unknown) =>
  error instanceof LocalformerError && error.code === 'ERR_OUT_OF_MEMORY'

// What a network's parts take is the same whenever they are asked, and cuts for several batches ask
// for many of them again.
const measurements = new Map<string, unknown>()
const MOST_MEASUREMENTS = 20_000

async function remembered<T>(
  { config: { seed: _, ...network }, device }: SwinTransformer,
  what: object,
  measure: () => Promise<T>,
): Promise<T> {
  const key = JSON.stringify([device, network, what])
  if (measurements.has(key)) return measurements.get(key) as T
  const value = await measure()
  if (measurements.size >= MOST_MEASUREMENTS) measurements.clear()
  measurements.set(key, value)
  return value
}

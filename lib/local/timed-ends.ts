// A split whose modules take the same time here, and how long modules take: for work that several ranks
// share.
import { keepProductChoices } from '../device/products.js'
import { exchange, isInitialized } from '../distributed/group.js'
import { measuredBatch } from './measured-batch.js'
import type { ResolvedLocalOptions } from './methods.js'
import { nested, prepareMath, type Recipe } from './native-trainer.js'
import type { SwinTransformer } from './swin-transformer.js'

/**
 * Index behind the last unit of each module. Heads and decoders are left out: they are small. In a process
 * group all ranks ask for it at once.
 */
export async function timedEnds(
  model: SwinTransformer,
  { modules, recompute, dtype, math }: ResolvedLocalOptions,
): Promise<readonly number[]> {
  const batchSize = measuredBatch(model)
  await prepareMath(model, math)
  const seconds = await model.timeUnits({ batchSize, recompute, dtype, math })
  await keepProductChoices()
  return ofFirstRank(evenEnds(seconds, modules))
}

/** Times differ from rank to rank: rank 0's count, and all ranks ask at once. */
export async function ofFirstRank(ends: readonly number[]): Promise<readonly number[]> {
  if (!isInitialized()) return ends
  const [decided = '[]'] = await exchange('ends', JSON.stringify(ends))
  return JSON.parse(decided) as number[]
}

/** Seconds of each module in a step without its update, head and decoder included. */
export async function moduleSeconds(
  model: SwinTransformer,
  { ends, modules }: Recipe,
): Promise<number[]> {
  const batchSize = measuredBatch(model)
  const seconds: number[] = []
  for (const [k, end] of ends.entries()) {
    const module = nested(modules[k] ?? {})
    seconds.push(await model.timeModule({ begin: ends[k - 1] ?? 0, end, batchSize, module }))
  }
  await keepProductChoices()
  return seconds
}

/**
 * Cuts a row of costs into `parts` runs, none empty, of which the most costly costs least; gives the
 * index behind the last of each.
 */
export function evenEnds(costs: readonly number[], parts: number): number[] {
  const sums = [0]
  for (const cost of costs) sums.push((sums[sums.length - 1] as number) + cost)
  // The best way to cut the first `end` costs into `count` runs.
  let best = sums.map((sum, end) => ({ most: end === 0 ? Infinity : sum, ends: [end] }))
  for (let count = 2; count <= parts; count++) {
    const before = best
    best = sums.map((sum, end) => {
      let found = { most: Infinity, ends: [] as number[] }
      for (let begin = count - 1; begin < end; begin++) {
        const way = before[begin] as { most: number; ends: number[] }
        const most = Math.max(way.most, sum - (sums[begin] as number))
        if (most < found.most) found = { most, ends: [...way.ends, end] }
      }
      return found
    })
  }
  return best[costs.length]?.ends ?? []
}

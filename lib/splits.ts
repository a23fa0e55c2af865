// Where the network is cut: a split's name -> the index behind the last unit of each module.
import { describe, LocalformerError } from './errors.js'

/**
 * `stages`: cuts behind stages 1, 2, ... K-1. A list of stage numbers, e.g. `[2]`: a cut behind each
 * of them.
 */
export type Split = 'stages' | readonly number[]

/** Index behind the last unit of each stage (the classifier belongs to the last stage). */
export function stageEnds(depths: readonly number[]): number[] {
  const ends: number[] = []
  let units = 1 // the patch embedding
  depths.forEach((depth, stage) => {
    units += depth + (stage > 0 ? 1 : 0)
    ends.push(units)
  })
  ends[ends.length - 1] = units + 1
  return ends
}

/**
 * @param depths Blocks in each stage.
 * @throws {LocalformerError} `ERR_CONFIG` that says which splits are possible.
 */
export function resolveSplit(split: Split, modules: number, depths: readonly number[]): number[] {
  const stages = depths.length
  const ends = stageEnds(depths)
  const whole = ends[stages - 1] as number
  const cuts =
    split === 'stages' ? Array.from({ length: modules - 1 }, (_, cut) => cut + 1) : [...split]
  const rising = cuts.every((cut, i) => Number.isInteger(cut) && cut > (i ? (cuts[i - 1] ?? 0) : 0))
  const possible = rising && cuts.length === modules - 1 && cuts.every((cut) => cut < stages)
  if (!possible) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `A network of ${stages} stages cannot be cut into ${modules} modules behind stages ${describe(cuts)}`,
      {
        hint:
          `Possible are 1 to ${stages} modules, cut behind ${modules - 1} different stages of 1 to ` +
          `${stages - 1} in rising order.`,
      },
    )
  }
  return [...cuts.map((cut) => ends[cut - 1] as number), whole]
}

/** A split as it is named in run specs: `stages`, or the stage numbers joined by `+`. */
export function describeSplit(split: Split): string {
  return split === 'stages' ? split : split.join('+')
}

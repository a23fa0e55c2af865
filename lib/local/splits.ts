// Where the network is cut: a split's name -> the index behind the last unit of each module.
import { describe, LocalformerError } from '../base/errors.js'

/**
 * - `stages`: behind stages 1, 2, ... K-1.
 * - `balanced`: so that the largest module's peak memory is smallest, from what each unit was
 *   measured to take; any K up to the number of units.
 * - `timed`: so that every module takes as long as the others, from what each unit takes here; for
 *   modules on several ranks. Any K up to the number of units.
 * - `blocks`: one module for each block, the grid changes before it and the classifier included.
 * - a list of where to cut: stage numbers, `stage1`, or names of units, in rising order.
 */
export type Split = 'stages' | 'balanced' | 'timed' | 'blocks' | readonly (number | string)[]

/** Names of the units of a network, in order. */
export function unitNames(depths: readonly number[]): string[] {
  const names = ['patch_embed']
  depths.forEach((depth, stage) => {
    if (stage > 0) names.push(`layers.${stage}.downsample`)
    for (let block = 0; block < depth; block++) names.push(`layers.${stage}.blocks.${block}`)
  })
  return [...names, 'classifier']
}

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

/** Splits that are made by measuring, and then written out as cuts. */
export const MEASURED_SPLITS: readonly Split[] = ['balanced', 'timed']

/** How many modules a split makes by itself; undefined where any number is possible. */
export function modulesOf(split: Split, depths: readonly number[]): number | undefined {
  if (split === 'blocks') return depths.reduce((a, b) => a + b, 0)
  return typeof split === 'string' ? undefined : split.length + 1
}

/**
 * @param depths Blocks in each stage.
 * @param measured Gives the ends of a split that is made by measuring into so many modules.
 * @throws {LocalformerError} `ERR_CONFIG` that says which splits are possible.
 */
export function resolveSplit(
  split: Split,
  modules: number,
  depths: readonly number[],
  measured: (modules: number) => readonly number[] = (count) =>
    unitNames(depths)
      .slice(0, count)
      .map((_, k) => k + 1),
): number[] {
  const names = unitNames(depths)
  const fixed = modulesOf(split, depths)
  if (fixed !== undefined && fixed !== modules) {
    const what = split === 'blocks' ? '`blocks`' : `the list ${describeSplit(split)}`
    throw impossible(
      `Split ${what} makes ${fixed} modules of this network, not ${modules}`,
      `Ask for ${fixed} modules, or leave their number out.`,
    )
  }
  if (MEASURED_SPLITS.includes(split)) {
    if (modules <= names.length) return [...measured(modules)]
    throw impossible(
      `A network of ${names.length} units cannot be cut into ${modules} modules`,
      `Possible are 1 to ${names.length} modules.`,
    )
  }
  if (split === 'blocks') return blockEnds(names)
  const stages = depths.length
  const cuts =
    split === 'stages' ? Array.from({ length: modules - 1 }, (_, cut) => cut + 1) : [...split]
  const ends = cuts.map((cut) => endOf(cut, names, depths))
  const rising = ends.every(
    (end, i) => end > (i > 0 ? (ends[i - 1] ?? 0) : 0) && end < names.length,
  )
  if (rising) return [...ends, names.length]
  throw impossible(
    `A network of ${stages} stages cannot be cut into ${modules} modules behind ` +
      (split === 'stages' ? 'its stages' : describe(cuts)),
    `Cut in rising order behind stages 1 to ${stages - 1} (\`stages\`: at most ${stages} modules) or ` +
      `behind units: ${names.slice(0, -1).join(', ')}. \`balanced\` and \`timed\` make up to ${names.length} modules.`,
  )
}

// Index behind the unit or stage that a cut names; NaN where there is none.
function endOf(cut: number | string, names: readonly string[], depths: readonly number[]): number {
  const stage = typeof cut === 'number' ? cut : Number(/^(?:stage)?(\d+)$/.exec(cut)?.[1])
  if (Number.isInteger(stage)) return stageEnds(depths)[stage - 1] ?? Number.NaN
  const unit = names.indexOf(cut as string)
  return unit < 0 ? Number.NaN : unit + 1
}

function blockEnds(names: readonly string[]): number[] {
  const ends = names.flatMap((name, unit) => (name.includes('.blocks.') ? [unit + 1] : []))
  ends[ends.length - 1] = names.length
  return ends
}

function impossible(message: string, hint: string): LocalformerError {
  return new LocalformerError('ERR_CONFIG', message, { hint })
}

/** A split as it is named in run specs: a word, or the places of its cuts joined by `+`. */
export function describeSplit(split: Split): string {
  return typeof split === 'string' ? split : split.join('+')
}

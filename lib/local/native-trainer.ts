// Options of the trainers -> the addon's trainer.

import { expected, LocalformerError } from '../base/errors.js'
import { definedOf } from '../base/validate.js'
import { loadProductChoices } from '../device/products.js'
import type { NativeOptions, NativeTrainer, NativeTrainerOptions } from '../native/contract.js'
import { isHandle } from '../native/handle.js'
import { awaitNative, loadTorch } from '../native/load.js'
import { type ResolvedLocalOptions, weightsOf } from './methods.js'
import { OPTION_ROWS } from './options.js'
import { SwinTransformer } from './swin-transformer.js'
import type { Method } from './words.js'

/** Options of one module by their names, every one there is. */
export type ModuleSettings = Readonly<Record<string, unknown>>

/** Everything that a trainer is made with. */
export interface Recipe {
  /** Index behind the last unit of each module. */
  readonly ends: readonly number[]
  readonly seed: number
  readonly modules: readonly ModuleSettings[]
}

export function recipeOf(o: ResolvedLocalOptions, ends: readonly number[]): Recipe {
  const labelWeights = weightsOf(o.labelWeight, ends.length)
  const reconstructionWeights = weightsOf(o.reconstructionWeight, ends.length)
  const modules = ends.map((_, k) =>
    settingsIn({
      ...o,
      ...definedOf(o.perModule?.[k] ?? {}),
      labelWeight: labelWeights[k],
      reconstructionWeight: reconstructionWeights[k],
    }),
  )
  return { ends, seed: o.seed, modules }
}

function settingsIn(options: ModuleSettings): ModuleSettings {
  const own = Object.entries(OPTION_ROWS).filter(([, { native }]) => native !== null)
  return Object.fromEntries(own.map(([option]) => [option, options[option]]))
}

/** @param method What a record of memory calls the modules by. */
export async function createNative(
  model: SwinTransformer,
  recipe: Recipe,
  method: Method,
): Promise<NativeTrainer> {
  await prepareMath(model, recipe.modules[0]?.math)
  const label = method === 'backprop' ? method : `${method}:${recipe.ends.length}`
  return awaitNative(async () =>
    loadTorch().createTrainer(model.native, { ...nativeRecipe(recipe), label }),
  )
}

/** @internal What is known of products is not measured again. */
export async function prepareMath({ device }: SwinTransformer, math: unknown): Promise<void> {
  if (math === 'tuned' && device === 'cpu') await loadProductChoices()
}

/** @internal The recipe as the core's structs nest it. */
export function nativeRecipe({ ends, seed, modules }: Recipe): NativeTrainerOptions {
  return { ends, seed, modules: modules.map(nested) }
}

/** @internal Settings of a module as the core's structs nest them. */
export function nested(settings: ModuleSettings): NativeOptions {
  const root: Record<string, unknown> = {}
  for (const [option, value] of Object.entries(settings)) {
    const [last = '', ...outer] = (OPTION_ROWS[option]?.native ?? option).split('.').reverse()
    let place = root
    for (const name of outer.reverse()) {
      place[name] ??= {}
      place = place[name] as Record<string, unknown>
    }
    place[last] = value
  }
  return root as NativeOptions
}

export function checkModel(model: unknown): asserts model is SwinTransformer {
  if (isHandle(model, SwinTransformer)) return
  throw new LocalformerError('ERR_CONFIG', expected('a SwinTransformer', 'model', model))
}

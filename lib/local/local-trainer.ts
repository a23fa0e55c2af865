// Local learning: a network cut into modules that learn from their own losses.

import { expected, LocalformerError } from '../base/errors.js'
import { readArgument } from '../base/validate.js'
import { balancedEnds } from './balanced-ends.js'
import { type ResolvedLocalOptions, resolveLocalOptions } from './methods.js'
import { checkModel, createNative, recipeOf } from './native-trainer.js'
import type { LocalOptions } from './options.js'
import { specTextOf } from './spec-text.js'
import { modulesOf, resolveSplit } from './splits.js'
import type { SwinTransformer } from './swin-transformer.js'
import { timedEnds } from './timed-ends.js'
import { Trainer } from './trainer.js'

/**
 * Local learning: every module runs forward, its own losses, backward, its update, and frees its
 * memory before the next module begins.
 *
 * ```ts
 * await using trainer = await LocalTrainer.create(model, { method: 'paper', modules: 4 })
 * for (const batch of batches(data.train, { batchSize: 128, shuffle: true })) {
 *   const { modules } = await trainer.step(batch)
 * }
 * ```
 */
export class LocalTrainer extends Trainer {
  /**
   * @throws {LocalformerError} `ERR_CONFIG`, `ERR_DISPOSED` (the model), `ERR_OUT_OF_MEMORY`.
   */
  static async create(model: SwinTransformer, options: LocalOptions = {}): Promise<LocalTrainer> {
    checkModel(model)
    const { depths } = model.config
    const o = readArgument('options', () => {
      const split = options?.split === 'blocks' ? modulesOf('blocks', depths) : undefined
      return resolveLocalOptions({
        ...(split === undefined ? {} : { modules: split }),
        ...options,
      })
    })
    checkPerModule(o)
    // Refused here, too, where there are more modules than units.
    const first = resolveSplit(o.split, o.modules, depths)
    const ends =
      o.split === 'balanced'
        ? await balancedEnds(model, o)
        : o.split === 'timed'
          ? await timedEnds(model, o)
          : first
    const recipe = recipeOf(o, ends)
    const spec = specTextOf(o.method, o)
    const native = await createNative(model, recipe, o.method)
    return new LocalTrainer(native, model, o.method, recipe, spec)
  }
}

function checkPerModule({ perModule, modules }: ResolvedLocalOptions): void {
  if (perModule === undefined || perModule.length <= modules) return
  throw new LocalformerError(
    'ERR_CONFIG',
    expected(`at most ${modules} entries, one a module,`, 'perModule', perModule),
  )
}

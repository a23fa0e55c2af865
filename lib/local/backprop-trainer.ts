// The end-to-end baseline over the same units.
import { resolveBackpropOptions, resolveLocalOptions } from './methods.js'
import { checkModel, createNative, recipeOf } from './native-trainer.js'
import type { OptimizationOptions } from './options.js'
import { specTextOf } from './spec-text.js'
import { resolveSplit } from './splits.js'
import type { SwinTransformer } from './swin-transformer.js'
import { Trainer } from './trainer.js'

/** End-to-end backpropagation: one module over the same units, without auxiliary parts. */
export class BackpropTrainer extends Trainer {
  /**
   * @throws {LocalformerError} `ERR_CONFIG`, `ERR_DISPOSED` (the model), `ERR_OUT_OF_MEMORY`.
   */
  static async create(
    model: SwinTransformer,
    options: OptimizationOptions = {},
  ): Promise<BackpropTrainer> {
    checkModel(model)
    const o = resolveBackpropOptions(options)
    // The case of one module, which has only its classifier's loss.
    const one = resolveLocalOptions({ ...o, method: 'greedy', modules: 1 })
    const recipe = recipeOf(one, resolveSplit('stages', 1, model.config.depths))
    const spec = specTextOf('backprop', o)
    const native = await createNative(model, recipe, 'backprop')
    return new BackpropTrainer(native, model, 'backprop', recipe, spec)
  }
}

// A run spec -> its trainer.
import { modulesOfSpec, type OptimizationOptions, type RunSpec } from './methods.js'
import type { SwinTransformer } from './swin-transformer.js'
import { BackpropTrainer, LocalTrainer, type Trainer } from './trainers.js'

/**
 * @param options What the spec does not say, for every method.
 * @param balanceFor Batch size for which a balanced split is made.
 * @throws {LocalformerError} what the trainers' `create` throws.
 */
export async function createTrainer(
  model: SwinTransformer,
  spec: RunSpec,
  options: OptimizationOptions = {},
  balanceFor?: number,
): Promise<Trainer> {
  const { method, given } = spec
  if (method === 'backprop') return BackpropTrainer.create(model, { ...options, ...given })
  return LocalTrainer.create(model, {
    ...options,
    ...given,
    method,
    modules: modulesOfSpec(spec, model.config.depths),
    ...(balanceFor === undefined ? {} : { balanceFor }),
  })
}

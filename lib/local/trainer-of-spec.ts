// A run spec -> its trainer.

import { definedOf } from '../base/validate.js'
import { BackpropTrainer } from './backprop-trainer.js'
import { LocalTrainer } from './local-trainer.js'
import type { LocalOptions, OptimizationOptions } from './options.js'
import { modulesOfSpec, type RunSpec } from './run-spec.js'
import type { SwinTransformer } from './swin-transformer.js'
import type { Trainer } from './trainer.js'

/** What a run spec does not say. */
export type TrainerOptions = OptimizationOptions & Pick<LocalOptions, 'perModule'>

/**
 * @param options For every method.
 * @param balanceFor Batch size for which a balanced split is made.
 * @throws {LocalformerError} what the trainers' `create` throws.
 */
export async function createTrainer(
  model: SwinTransformer,
  spec: RunSpec,
  options: TrainerOptions = {},
  balanceFor?: number,
): Promise<Trainer> {
  const { method, given } = spec
  if (method === 'backprop') {
    const { perModule, ...all } = options
    const own = definedOf(perModule?.[0] ?? {})
    return BackpropTrainer.create(model, { ...all, ...own, ...given })
  }
  return LocalTrainer.create(model, {
    ...options,
    ...given,
    method,
    modules: modulesOfSpec(spec, model.config.depths),
    ...(balanceFor === undefined ? {} : { balanceFor }),
  })
}

// A run spec -> its trainer.
import type { OptimizationOptions, RunSpec } from './methods.js'
import type { SwinTransformer } from './swin-transformer.js'
import { BackpropTrainer, LocalTrainer, type Trainer } from './trainers.js'

/** @throws {LocalformerError} what the trainers' `create` throws. */
export async function createTrainer(
  model: SwinTransformer,
  spec: RunSpec,
  options: OptimizationOptions = {},
): Promise<Trainer> {
  if (spec.method === 'backprop') return BackpropTrainer.create(model, options)
  const { method, modules, split, decoder, decoderHidden, chunkSize } = spec
  return LocalTrainer.create(model, {
    ...options,
    method,
    modules,
    split,
    decoder,
    decoderHidden,
    ...(chunkSize === undefined ? {} : { chunkSize }),
  })
}

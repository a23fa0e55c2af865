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
  const { method, modules, split, decoder, decoderHidden, chunkSize, recompute, accumulate } = spec
  if (method === 'backprop') {
    return BackpropTrainer.create(model, { ...options, recompute, accumulate })
  }
  return LocalTrainer.create(model, {
    ...options,
    recompute,
    accumulate,
    method,
    modules,
    split,
    decoder,
    decoderHidden,
    ...(chunkSize === undefined ? {} : { chunkSize }),
  })
}

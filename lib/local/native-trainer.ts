// Options of the trainers -> the addon's trainer.

import { expected, LocalformerError } from '../base/errors.js'
import { definedOf } from '../base/validate.js'
import type {
  NativeModuleOptions,
  NativeTrainer,
  NativeTrainerOptions,
} from '../native/contract.js'
import { awaitNative, loadTorch } from '../native/load.js'
import {
  normalisesBatch,
  type ResolvedLocalOptions,
  type ResolvedOptimization,
  weightsOf,
} from './methods.js'
import { SwinTransformer } from './swin-transformer.js'

export async function createNative(
  model: SwinTransformer,
  options: NativeTrainerOptions,
): Promise<NativeTrainer> {
  return awaitNative(async () => loadTorch().createTrainer(model.native, options))
}

export function optionsOfModules(o: ResolvedLocalOptions): NativeModuleOptions[] {
  const labelWeights = weightsOf(o.labelWeight, o.modules)
  const reconstructionWeights = weightsOf(o.reconstructionWeight, o.modules)
  const { target, distance, decoder, decoderHidden, decoderDepth, head, headDepth } = o
  return labelWeights.map((labelWeight, k) => ({
    ...optimizationOf({ ...o, ...definedOf(o.perModule?.[k] ?? {}) }),
    ...{ target, distance, decoder, decoderHidden, decoderDepth, head, headDepth },
    headHidden: o.headHidden ?? 0,
    labelWeight,
    reconstructionWeight: reconstructionWeights[k] as number,
    penaltyWeight: o.penaltyWeight,
    sample: o.sample,
    // A chunk that no batch exceeds: a norm over the batch sees all of it.
    chunkSize: o.chunkSize ?? (normalisesBatch(o) ? 2 ** 20 : 0),
  }))
}

export function checkModel(model: unknown): asserts model is SwinTransformer {
  if (model instanceof SwinTransformer) return
  throw new LocalformerError('ERR_CONFIG', expected('a SwinTransformer', 'model', model))
}

function optimizationOf(o: ResolvedOptimization) {
  const { eps, weightDecay, labelSmoothing, accumulate, recompute, dtype, optimizer, momentum } = o
  const [beta1, beta2] = o.betas
  return {
    ...{ optimizer, beta1, beta2, eps, weightDecay, momentum },
    ...{ labelSmoothing, accumulate, recompute, dtype },
  }
}

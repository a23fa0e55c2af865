// A configuration -> everything that trains: data set, network, trainer, the loop's options. The same
// for the command line and for scripts.

import { definedOf, isA } from '../base/validate.js'
import { checkDataset, type Dataset } from '../datasets/dataset.js'
import { openDataset } from '../datasets/open.js'
import { checkComputes } from '../device/device.js'
import { setThreads } from '../device/threads.js'
import type { RunSpec } from '../local/run-spec.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import type { Trainer } from '../local/trainer.js'
import { createTrainer } from '../local/trainer-of-spec.js'
import type { TrainOptions } from '../train/options.js'

import { loadWeights } from '../weights/load-weights.js'
import type { WeightsReport } from '../weights/plan.js'
import { ResolvedConfig, resolveInput } from './resolve.js'
import { DEFAULTS, type TrainingConfig, type TrainingConfigInput } from './schema.js'

/** What a configuration makes; `train(trainer, data, options)` runs it. */
export interface Training extends AsyncDisposable {
  readonly config: TrainingConfig
  readonly spec: RunSpec
  readonly data: Dataset
  readonly model: SwinTransformer
  readonly trainer: Trainer
  readonly options: TrainOptions
  /** What loading `init` did; null without it. */
  readonly weights: WeightsReport | null
  /** Frees network and trainer. */
  dispose(): void
}

/**
 * Makes what a configuration describes.
 *
 * ```ts
 * await using training = await createTraining({ preset: 'quick', run: 'paper:4' })
 * for await (const event of train(training.trainer, training.data, training.options)) {}
 * ```
 *
 * @param data Images to train on instead of those that `dataset` names. Without it they are read from
 *   where `localformer dataset fetch` puts them; nothing is fetched.
 * @throws {LocalformerError} `ERR_CONFIG`, and what `openDataset`, `SwinTransformer.create`,
 *   `loadWeights` and the trainers' `create` throw.
 */
export async function createTraining(
  written: TrainingConfigInput | ResolvedConfig,
  data?: Dataset,
): Promise<Training> {
  const { config, spec, network } = isA(written, ResolvedConfig) ? written : resolveInput(written)
  checkComputes(network.device, 'train')
  if (data !== undefined) checkDataset(data)
  const images = data ?? (await openData(config))
  if (config.threads !== undefined) setThreads(config.threads)
  const model = await SwinTransformer.of({ ...network, classes: images.classes.length })
  try {
    const weights = config.init === undefined ? null : await loadWeights(model, config.init)
    const { batchSize } = config.training
    const trainer = await createTrainer(model, spec, trainerOptionsOf(config), batchSize)
    const options = trainOptionsOf(config, trainer.modules.length)
    const dispose = () => model.dispose()
    const made = { config, spec, data: images, model, trainer, options, weights, dispose }
    return { ...made, [Symbol.asyncDispose]: async () => dispose() }
  } catch (error) {
    model.dispose()
    throw error
  }
}

function openData({ dataset, model }: TrainingConfig): Promise<Dataset> {
  const { name, dataDir } = dataset
  return openDataset(name, { dataDir, imageFolder: { imageSize: model.imageSize } })
}

/** What the trainers take of a configuration, beside the run spec. */
export function optimizerOptionsOf({ optimizer, modules, seed }: TrainingConfig) {
  const { name, ...rest } = optimizer
  const perModule = modules?.map((module) => {
    if (module === null) return null
    const { learningRate: _, ...own } = module
    return definedOf(own)
  })
  return { ...rest, optimizer: name, seed, ...(perModule === undefined ? {} : { perModule }) }
}

/** The same with what a training configuration begins with where its run spec does not say. */
export function trainerOptionsOf(config: TrainingConfig) {
  return { recompute: DEFAULTS.recompute, ...optimizerOptionsOf(config) }
}

/** What `train()` takes of a configuration; single modules' learning rates become a list. */
export function trainOptionsOf(config: TrainingConfig, modules: number): TrainOptions {
  const { training, dataset, seed } = config
  const { trainLimit, testLimit } = dataset
  const { learningRate } = training
  const rates = Array.from(
    { length: modules },
    (_, k) => config.modules?.[k]?.learningRate ?? (learningRate as number),
  )
  const isOwn = config.modules?.some((module) => module?.learningRate !== undefined)
  return {
    ...definedOf({ ...training, trainLimit, testLimit, seed }),
    ...(isOwn ? { learningRate: rates } : {}),
  }
}

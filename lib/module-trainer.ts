// One locally trained module, driven by its trainer or alone.
import { toLabels } from './batch.js'
import { expected, LocalformerError } from './errors.js'
import { Features } from './features.js'
import type { NativeFeatures, NativeModule, NativeModuleStep } from './native/contract.js'
import { learningRateOf, type StepOptions, type Trainer } from './trainers.js'

/** What one module's step did; sizes in bytes. */
export type ModuleStep = Readonly<NativeModuleStep>

/** How a module learns. */
export interface ModuleTraining {
  /** Weight a of the label loss, of every module but the last. */
  readonly labelWeight: number
  /** Weight b of the reconstruction loss. */
  readonly reconstructionWeight: number
  readonly optimizer: {
    readonly name: 'AdamW'
    readonly betas: readonly [number, number]
    readonly eps: number
    readonly weightDecay: number
  }
}

export class ModuleTrainer {
  readonly #trainer: Trainer
  /** From 0. */
  readonly index: number
  readonly name: string
  /** Names of the units of its segment, in order. */
  readonly units: readonly string[]
  /** Learned values of its segment. */
  readonly parameterCount: number
  /** Learned values of its head and decoder; 0 for the last module. */
  readonly auxiliaryParameterCount: number
  /** Has it a decoder? */
  readonly reconstructs: boolean
  /** Weights of the losses; the last module has its classifier's cross-entropy alone. */
  readonly lossWeights: { readonly label: number; readonly reconstruction: number }
  readonly optimizer: ModuleTraining['optimizer']

  /** @internal */
  constructor(trainer: Trainer, index: number, info: NativeModule, training: ModuleTraining) {
    this.#trainer = trainer
    this.index = index
    this.name = info.name
    this.units = info.units
    this.parameterCount = info.parameterCount
    this.auxiliaryParameterCount = info.auxiliaryParameterCount
    this.reconstructs = info.reconstructs
    // Only a module with auxiliary parts weighs its losses.
    const isWeighted = info.auxiliaryParameterCount > 0
    this.lossWeights = {
      label: isWeighted ? training.labelWeight : 1,
      reconstruction: info.reconstructs ? training.reconstructionWeight : 0,
    }
    this.optimizer = training.optimizer
  }

  /**
   * Trains this module alone on the output of the module before it (`trainer.features(batch)` for
   * the first) and gives what the next module takes, or the logits. The caller disposes both.
   *
   * @throws {LocalformerError} `ERR_SHAPE` for features that do not fit, and what a trainer's
   *   `step` throws.
   */
  async step(
    features: Features,
    labels: ArrayLike<number>,
    options: StepOptions = {},
  ): Promise<ModuleStep & { features: Features }> {
    const learningRate = learningRateOf(options)
    const input = nativeOf(features)
    const classes = this.#trainer.model.config.classes
    const targets = toLabels(labels, features.shape[0] ?? 0, classes)
    const { features: output, ...result } = await this.#trainer.runExclusive((native) =>
      native.stepModule(this.index, input, targets, learningRate),
    )
    return { ...result, features: new Features(output) }
  }

  /** This module's output in evaluation mode, without learning. */
  async forward(features: Features): Promise<Features> {
    const input = nativeOf(features)
    return new Features(
      await this.#trainer.runExclusive((native) => native.forwardModule(this.index, input)),
    )
  }
}

// The addon trusts what it is handed, so another kind of handle must not get there.
function nativeOf(features: unknown): NativeFeatures {
  if (features instanceof Features) return features.native
  throw new LocalformerError('ERR_SHAPE', expected('Features', 'features', features))
}

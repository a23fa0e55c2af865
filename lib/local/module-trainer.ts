// One locally trained module, driven by its trainer or alone.

import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys, readArgument } from '../base/validate.js'
import { toLabels } from '../batch/batch.js'
import type {
  NativeFeatures,
  NativeModule,
  NativeModuleStep,
  NativeTrainer,
} from '../native/contract.js'
import { Features } from '../native/features.js'
import { isHandle } from '../native/handle.js'
import { checkClipNorm, checkRate } from './step-options.js'

/** What the step of a module did that learned, as one does that is driven alone; sizes in bytes. */
export type LearningStep = Readonly<NativeModuleStep>

/** What a module did in a step of all: one that only passed features on has no losses. */
export type ModuleStep = LearningStep | Readonly<NativeModuleStep<false>>

/** The optimizer of a module, every default filled in. */
export interface ModuleOptimizer {
  readonly name: 'AdamW' | 'SGD'
  readonly weightDecay: number
  /** AdamW's. */
  readonly betas?: readonly [number, number]
  readonly eps?: number
  /** SGD's. */
  readonly momentum?: number
}

/** Options of one module's step. */
export interface ModuleStepOptions {
  /** At least 0; default 1e-3. */
  readonly learningRate?: number
  /** Largest L2 norm of the module's gradients, above 0; default: they are taken as they are. */
  readonly clipNorm?: number
  /** What `trainer.features(batch)` gave, for a module that reconstructs the image. */
  readonly image?: Features
}

/** What a module needs of the trainer that it belongs to. */
interface Owner {
  readonly model: { readonly config: { readonly classes: number } }
  runExclusive<T>(work: (native: NativeTrainer) => Promise<T>): Promise<T>
}

export class ModuleTrainer {
  readonly #trainer: Owner
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
  readonly lossWeights: {
    readonly label: number
    readonly reconstruction: number
    readonly penalty: number
  }
  readonly optimizer: ModuleOptimizer
  #frozen = false

  /** @internal */
  constructor(trainer: Owner, index: number, info: NativeModule) {
    this.#trainer = trainer
    this.index = index
    this.name = info.name
    this.units = info.units
    this.parameterCount = info.parameterCount
    this.auxiliaryParameterCount = info.auxiliaryParameterCount
    this.reconstructs = info.reconstructs
    this.lossWeights = info.lossWeights
    this.optimizer = describeOptimizer(info.optimizer)
  }

  /** Does it keep its weights in a trainer's steps? */
  get frozen(): boolean {
    return this.#frozen
  }

  /** From now on a trainer's steps only pass features through this module, in evaluation mode. */
  freeze(): void {
    this.#frozen = true
  }

  /** Ends {@link freeze}. */
  unfreeze(): void {
    this.#frozen = false
  }

  /**
   * Frees the optimizer's state, two values a weight for AdamW; the module's next step begins with
   * a new one. For training the modules one after the other.
   */
  async releaseOptimizer(): Promise<void> {
    return this.#trainer.runExclusive((native) => native.releaseOptimizer(this.index))
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
    options: ModuleStepOptions = {},
  ): Promise<LearningStep & { features: Features }> {
    checkKeys(options, 'options', ['learningRate', 'clipNorm', 'image'])
    const { learningRate = 1e-3, clipNorm, image } = readArgument('options', () => ({ ...options }))
    checkRate(learningRate)
    checkClipNorm(clipNorm)
    const { classes } = this.#trainer.model.config
    const input = {
      features: nativeOf(features),
      image: image === undefined ? undefined : nativeOf(image, 'image'),
      labels: toLabels(labels, features.shape[0] ?? 0, classes),
      ...{ learningRate, clipNorm },
    }
    const { features: output, ...result } = await this.#trainer.runExclusive((native) =>
      native.stepModule(this.index, input),
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

function describeOptimizer(o: NativeModule['optimizer']): ModuleOptimizer {
  const { weightDecay, betas, eps, momentum } = o
  return o.kind === 'sgd'
    ? { name: 'SGD', weightDecay, momentum }
    : { name: 'AdamW', weightDecay, betas, eps }
}

// The addon trusts what it is handed, so another kind of handle must not get there.
function nativeOf(features: unknown, name = 'features'): NativeFeatures {
  if (isHandle(features, Features)) return features.native
  throw new LocalformerError('ERR_SHAPE', expected('Features', name, features))
}

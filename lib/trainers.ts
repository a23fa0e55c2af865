// The trainers: LocalTrainer cuts a network into modules that learn from their own losses,
// BackpropTrainer is the end-to-end baseline over the same units.
import { type ImageBatch, labelled, toNativeBatch } from './batch.js'
import { expected, LocalformerError } from './errors.js'
import { Features } from './features.js'
import { Handle } from './handle.js'
import {
  type LocalOptions,
  type Method,
  type OptimizationOptions,
  type ResolvedOptimization,
  resolveBackpropOptions,
  resolveLocalOptions,
} from './methods.js'
import { type ModuleStep, ModuleTrainer, type ModuleTraining } from './module-trainer.js'
import type { NativeEvaluation, NativeTrainer, NativeTrainerOptions } from './native/contract.js'
import { awaitNative, loadTorch } from './native/load.js'
import { resolveSplit } from './splits.js'
import { type Parameter, SwinTransformer, type Tensors } from './swin-transformer.js'
import { checkKeys, checkTensors } from './validate.js'

/** What a module's head says of a batch: summed cross-entropy, and how many answers are right. */
export type BatchEvaluation = Readonly<NativeEvaluation>

export interface StepOptions {
  /** AdamW's learning rate of every module, at least 0; default 1e-3. */
  readonly learningRate?: number
}

/** What a step of all modules did. */
export interface TrainStep {
  /** In the order in which the modules stepped. */
  readonly modules: readonly ModuleStep[]
  /** Highest bytes in live tensors during the step, the network and optimizers included. */
  readonly peakAllocatedBytes: number
  /** Highest bytes taken from the system during the step. */
  readonly peakReservedBytes: number
  readonly seconds: number
}

/** What both trainers do. Made by `LocalTrainer.create` or `BackpropTrainer.create`. */
export abstract class Trainer extends Handle<NativeTrainer> {
  readonly model: SwinTransformer
  readonly method: Method
  readonly modules: readonly ModuleTrainer[]

  protected constructor(
    native: NativeTrainer,
    model: SwinTransformer,
    method: Method,
    options: ModuleTraining,
  ) {
    super('trainer', native)
    this.model = model
    this.method = method
    this.modules = this.look((trainer) => trainer.modules()).map(
      (info, index) => new ModuleTrainer(this, index, info, options),
    )
    model.adopt(this)
  }

  /**
   * Trains every module once on a batch. While it runs, another call throws `ERR_BUSY`.
   *
   * @throws {LocalformerError} `ERR_SHAPE`, `ERR_DATASET` (a label that is no class),
   *   `ERR_NON_FINITE` (a module's loss; its weights and those of later modules are untouched),
   *   `ERR_OUT_OF_MEMORY` (gradients and activations are freed, the trainer stays usable).
   */
  async step(batch: ImageBatch, options: StepOptions = {}): Promise<TrainStep> {
    const learningRate = learningRateOf(options)
    const input = toNativeBatch(labelled(batch), this.model.config)
    return this.exclusive((trainer) => trainer.step(input, learningRate))
  }

  /**
   * Sum of the cross-entropy and number of correct answers of every module's head on a batch, in
   * evaluation mode; the last entry is the network's own classifier.
   */
  async evaluate(batch: ImageBatch): Promise<readonly BatchEvaluation[]> {
    const input = toNativeBatch(labelled(batch), this.model.config)
    return this.exclusive((trainer) => trainer.evaluate(input))
  }

  /** Normalised images on the device, as the first module takes them. */
  async features(batch: ImageBatch): Promise<Features> {
    const input = toNativeBatch(batch, this.model.config)
    return new Features(await this.exclusive((trainer) => trainer.features(input)))
  }

  /** Names and shapes of the heads' and decoders' parameters, `auxiliary.{k}.head.*` and so on. */
  auxiliaryParameters(): readonly Parameter[] {
    return this.look((trainer) => trainer.auxiliaryParameters())
  }

  /** A copy of the heads' and decoders' parameters. */
  async readAuxiliary(): Promise<Tensors> {
    return this.exclusive((trainer) => trainer.readAuxiliary())
  }

  /** Replaces the auxiliary parameters that are named; all or none. */
  async writeAuxiliary(values: Tensors): Promise<void> {
    checkTensors(values)
    return this.exclusive((trainer) => trainer.writeAuxiliary(values))
  }

  /** @internal */
  runExclusive<T>(work: (native: NativeTrainer) => Promise<T>): Promise<T> {
    return this.exclusive(work)
  }
}

/**
 * Local learning: every module runs forward, its own losses, backward, its update, and frees its
 * memory before the next module begins.
 *
 * ```ts
 * await using trainer = await LocalTrainer.create(model, { method: 'paper', modules: 4 })
 * const { modules } = await trainer.step({ images, labels, height: 32, width: 32 })
 * ```
 */
export class LocalTrainer extends Trainer {
  /**
   * @throws {LocalformerError} `ERR_CONFIG`, `ERR_DISPOSED` (the model), `ERR_OUT_OF_MEMORY`.
   */
  static async create(model: SwinTransformer, options: LocalOptions = {}): Promise<LocalTrainer> {
    const o = resolveLocalOptions(options)
    checkModel(model)
    const native = await createNative(model, {
      ...optimizationOf(o),
      ends: resolveSplit(o.split, o.modules, model.config.depths),
      reconstruct: o.method === 'paper',
      decoder: o.decoder,
      decoderHidden: o.decoderHidden,
      labelWeight: o.labelWeight,
      reconstructionWeight: o.reconstructionWeight,
      chunkSize: o.chunkSize ?? 0,
    })
    return new LocalTrainer(native, model, o.method, trainingOf(o, o))
  }
}

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
    const native = await createNative(model, {
      ...optimizationOf(o),
      ends: resolveSplit('stages', 1, model.config.depths),
      reconstruct: false,
      decoder: 'linear',
      decoderHidden: 8,
      labelWeight: 1,
      reconstructionWeight: 0,
      chunkSize: 0,
    })
    return new BackpropTrainer(native, model, 'backprop', trainingOf(o))
  }
}

function checkModel(model: unknown): asserts model is SwinTransformer {
  if (model instanceof SwinTransformer) return
  throw new LocalformerError('ERR_CONFIG', expected('a SwinTransformer', 'model', model))
}

async function createNative(model: SwinTransformer, options: NativeTrainerOptions) {
  return awaitNative(async () => loadTorch().createTrainer(model.native, options))
}

function trainingOf(
  { betas, eps, weightDecay }: ResolvedOptimization,
  { labelWeight = 1, reconstructionWeight = 0 } = {},
): ModuleTraining {
  return {
    labelWeight,
    reconstructionWeight,
    optimizer: { name: 'AdamW', betas, eps, weightDecay },
  }
}

function optimizationOf(o: ResolvedOptimization) {
  const { betas, eps, weightDecay, labelSmoothing, accumulate, seed } = o
  const recompute = o.recompute === 'block'
  const [beta1, beta2] = betas
  return { beta1, beta2, eps, weightDecay, labelSmoothing, accumulate, recompute, seed }
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function learningRateOf(options: StepOptions): number {
  checkKeys(options, 'options', ['learningRate'])
  const { learningRate = 1e-3 } = options
  if (Number.isFinite(learningRate) && learningRate >= 0) return learningRate
  throw new LocalformerError(
    'ERR_CONFIG',
    expected('a number of at least 0', 'learningRate', learningRate),
  )
}

// The trainers: LocalTrainer cuts a network into modules that learn from their own losses,
// BackpropTrainer is the end-to-end baseline over the same units.
import { balance } from './balance.js'
import { type ImageBatch, labelled, toNativeBatch } from './batch.js'
import { expected, LocalformerError } from './errors.js'
import { Features } from './features.js'
import { Handle } from './handle.js'
import {
  type LocalOptions,
  type Method,
  normalisesBatch,
  type OptimizationOptions,
  type ResolvedLocalOptions,
  type ResolvedOptimization,
  resolveBackpropOptions,
  resolveLocalOptions,
  weightsOf,
} from './methods.js'
import { type ModuleStep, ModuleTrainer } from './module-trainer.js'
import type {
  NativeEvaluation,
  NativeModuleOptions,
  NativeTrainer,
  NativeTrainerOptions,
} from './native/contract.js'
import { awaitNative, loadTorch } from './native/load.js'
import { modulesOf, resolveSplit } from './splits.js'
import { type Parameter, SwinTransformer, type Tensors } from './swin-transformer.js'
import { checkKeys, checkTensors, definedOf } from './validate.js'

/** What a module's head says of a batch: summed cross-entropy, and how many answers are right. */
export type BatchEvaluation = Readonly<NativeEvaluation>

export interface StepOptions {
  /**
   * Learning rate of every module, at least 0; default 1e-3. Or a list: one for each module that
   * runs, from the first; a module with null only passes the features on, and those after the list's
   * end do not run.
   */
  readonly learningRate?: number | readonly (number | null)[]
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
    options: readonly NativeModuleOptions[],
  ) {
    super('trainer', native)
    this.model = model
    this.method = method
    this.modules = this.look((trainer) => trainer.modules()).map(
      (info, index) => new ModuleTrainer(this, index, info, options[index] as NativeModuleOptions),
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
    const rates = this.#ratesOf(options)
    const input = toNativeBatch(labelled(batch), this.model.config)
    return this.exclusive((trainer) => trainer.step(input, rates))
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

  /** Names of the units behind which the network is cut. */
  get cuts(): readonly string[] {
    return this.modules.slice(0, -1).map(({ units }) => units[units.length - 1] ?? '')
  }

  // A frozen module learns at no rate.
  #ratesOf(options: StepOptions): (number | null)[] {
    checkKeys(options, 'options', ['learningRate'])
    const { learningRate = 1e-3 } = options
    if (!Array.isArray(learningRate)) checkRate(learningRate)
    const rates = Array.isArray(learningRate)
      ? (learningRate as readonly (number | null)[])
      : this.modules.map(() => learningRate as number)
    if (rates.length === 0 || rates.length > this.modules.length) {
      const what = `a number, or a list of 1 to ${this.modules.length} of them`
      throw new LocalformerError('ERR_CONFIG', expected(what, 'learningRate', rates))
    }
    return rates.map((rate, k) => {
      if (rate !== null) checkRate(rate)
      return this.modules[k]?.frozen ? null : rate
    })
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
    checkModel(model)
    const { depths } = model.config
    const split = options?.split === 'blocks' ? modulesOf('blocks', depths) : undefined
    const o = resolveLocalOptions({
      ...(split === undefined ? {} : { modules: split }),
      ...options,
    })
    const costs = o.split === 'balanced' ? await measureUnits(model, o) : []
    const ends = resolveSplit(o.split, o.modules, depths, (count) =>
      balance(costs, count, {
        scale: o.balanceFor / MEASURED_BATCH,
        reconstructs: o.target === 'features',
      }),
    )
    checkPerModule(o)
    const modules = optionsOfModules(o)
    const native = await createNative(model, { ends, seed: o.seed, modules })
    return new LocalTrainer(native, model, o.method, modules)
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
    // The case of one module, which has only its classifier's loss.
    const modules = optionsOfModules(resolveLocalOptions({ ...o, method: 'greedy', modules: 1 }))
    const ends = resolveSplit('stages', 1, model.config.depths)
    const native = await createNative(model, { ends, seed: o.seed, modules })
    return new BackpropTrainer(native, model, 'backprop', modules)
  }
}

// Samples that units are measured with.
const MEASURED_BATCH = 8

function measureUnits(model: SwinTransformer, { recompute, dtype }: ResolvedLocalOptions) {
  return model.measureUnits(MEASURED_BATCH, { recompute, dtype })
}

function optionsOfModules(o: ResolvedLocalOptions): NativeModuleOptions[] {
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

function checkPerModule({ perModule, modules }: ResolvedLocalOptions): void {
  if (perModule === undefined || perModule.length <= modules) return
  throw new LocalformerError(
    'ERR_CONFIG',
    expected(`at most ${modules} entries, one a module,`, 'perModule', perModule),
  )
}

function checkModel(model: unknown): asserts model is SwinTransformer {
  if (model instanceof SwinTransformer) return
  throw new LocalformerError('ERR_CONFIG', expected('a SwinTransformer', 'model', model))
}

async function createNative(model: SwinTransformer, options: NativeTrainerOptions) {
  return awaitNative(async () => loadTorch().createTrainer(model.native, options))
}

function optimizationOf(o: ResolvedOptimization) {
  const { eps, weightDecay, labelSmoothing, accumulate, recompute, dtype, optimizer, momentum } = o
  const [beta1, beta2] = o.betas
  return {
    ...{ optimizer, beta1, beta2, eps, weightDecay, momentum },
    ...{ labelSmoothing, accumulate, recompute, dtype },
  }
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function checkRate(rate: unknown): asserts rate is number {
  if (typeof rate === 'number' && Number.isFinite(rate) && rate >= 0) return
  throw new LocalformerError('ERR_CONFIG', expected('a number of at least 0', 'learningRate', rate))
}

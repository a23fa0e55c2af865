// What every trainer does: steps of all modules, evaluation, and what a run keeps of it.
import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys, isArrayOf, readArgument } from '../base/validate.js'
import {
  type ImageBatch,
  labelled,
  type SplitBatch,
  splitToNativeBatch,
  toNativeBatch,
  unmixed,
} from '../batch/batch.js'
import { PreparedBatch } from '../batch/prepared-batch.js'
import { simulatedOn } from '../device/device.js'
import { keepProductChoices } from '../device/products.js'
import { agree, inGroup, isInitialized, orAbandonAlone } from '../distributed/group.js'
import type {
  NativeMemoryPoint,
  NativePhaseCalls,
  NativePrepared,
  NativeReconstruction,
  NativeStep,
  NativeTrainer,
  NativeTrainingState,
  NativeTransfers,
} from '../native/contract.js'
import { Features } from '../native/features.js'
import { Handle, isHandle } from '../native/handle.js'
import { awaitNative, loadTorch } from '../native/load.js'
import { tensorsOf } from '../native/tensors.js'
import { checkCards } from './cards-of-ranks.js'
import { digestOf } from './digest.js'
import type { BatchEvaluation, Logits } from './evaluation.js'
import { type ModuleStep, ModuleTrainer } from './module-trainer.js'
import type { Recipe } from './native-trainer.js'
import { type Division, divisionOf, type ParallelOptions, resolveParallel } from './parallel.js'
import { agreeOnProducts } from './products-of-ranks.js'
import { parseRunSpec, pinSplit } from './run-spec.js'
import { checkClipNorm, checkFlag, checkRate } from './step-options.js'
import type { Parameter, SwinTransformer, Tensors } from './swin-transformer.js'
import { evenEnds, moduleSeconds, ofFirstRank } from './timed-ends.js'
import type { Method } from './words.js'

export interface StepOptions {
  /**
   * Learning rate of every module, at least 0; default 1e-3. Or a list: one for each module that
   * runs, from the first; a module with null only passes the features on, and those after the list's
   * end do not run.
   */
  readonly learningRate?: number | readonly (number | null)[]
  /**
   * Largest L2 norm of each module's gradients, head and decoder included, above 0: where it is
   * exceeded they are scaled to it, as `torch.nn.utils.clip_grad_norm_` does. Default: as they are.
   */
  readonly clipNorm?: number
  /** Record what memory looks like over the step; default false. The peaks are the same. */
  readonly timeline?: boolean
  /** Count what a simulated device is asked to do, by module and phase; default false. */
  readonly calls?: boolean
  /** Of several ranks: tell the others that training ends behind this step, which sets `stops`; default false. */
  readonly stop?: boolean
}

/**
 * Live bytes at a moment of a step: `seconds` since it began, `allocatedBytes` on the device, the
 * index of the `module` at work and its `phase`.
 */
export type MemoryPoint = Readonly<NativeMemoryPoint>

/** What a phase of a module asked a simulated device to do. */
export type PhaseCalls = Readonly<NativePhaseCalls>

/**
 * What a module's decoder gives back for a batch, as images of `count x height x width x 3` bytes.
 * `kind` says what they show: `pixels` of the images themselves, or `components`, features in false
 * colours: the first three principal components over the tokens of target and prediction together.
 * `loss` is R as the module is trained with; `relativeError` the squared error over the target's
 * squared distance from its channels' means: 0 is perfect, 1 no better than these means.
 */
export type Reconstruction = Readonly<NativeReconstruction>

/** What a step copied for `offload`: bytes to the device, to the host, and the calls for both. */
export type Transfers = Readonly<NativeTransfers>

/** What training needs beside the weights: see {@link Trainer.readState}. */
export type TrainerState = Readonly<NativeTrainingState>

/** What a step of all modules did. */
export interface TrainStep extends Omit<NativeStep, 'timeline' | 'calls' | 'transfers' | 'stops'> {
  /** In the order in which the modules stepped. */
  readonly modules: readonly ModuleStep[]
  /**
   * With `timeline`: points in the order of time, those between which memory rises and falls; the
   * highest is `peakAllocatedBytes`, but for batches that are prepared meanwhile. About a thousand at
   * most.
   */
  readonly timeline?: readonly MemoryPoint[]
  /** With `calls`: in the order in which the phases began; empty where no device is simulated. */
  readonly calls?: readonly PhaseCalls[]
  /** With `offload`: what was copied; {@link predictTransfers} says it before. */
  readonly transfers?: Transfers
  /** Of several ranks: one of them ends the training behind this step. */
  readonly stops?: boolean
}

/** What both trainers do. Made by `LocalTrainer.create` or `BackpropTrainer.create`. */
export abstract class Trainer extends Handle<NativeTrainer> {
  readonly model: SwinTransformer
  readonly method: Method
  readonly modules: readonly ModuleTrainer[]
  /** @internal Everything that it was made with. */
  readonly recipe: Recipe
  /** Run spec that makes such modules, its cuts written out: `paper:4,decoder=conv`. */
  readonly spec: string
  #averageDecay: number | undefined
  #division: Division | undefined

  protected constructor(
    native: NativeTrainer,
    model: SwinTransformer,
    method: Method,
    recipe: Recipe,
    spec: string,
  ) {
    super('trainer', native)
    this.model = model
    this.method = method
    this.recipe = recipe
    this.modules = this.look((trainer) => trainer.modules()).map(
      (info, index) => new ModuleTrainer(this, index, info),
    )
    this.spec = pinSplit(parseRunSpec(spec), this.cuts)
    model.adopt(this)
  }

  /**
   * Trains every module once on a batch. While it runs, another call throws `ERR_BUSY`. Each
   * module's step happens as a whole or not at all: where one fails, the modules before it have
   * learned, and everything else is as it was, random numbers and memory too.
   *
   * Of a trainer that was parallelized every rank steps at once: with its share of the batch, or with null
   * where {@link takesBatches} is false. Modules that other ranks have come back with `learned: false`.
   *
   * @throws {LocalformerError} `ERR_SHAPE`, `ERR_DATASET` (a label that is no class),
   *   `ERR_NON_FINITE` (a loss or a gradient of the module that it names),
   *   `ERR_OUT_OF_MEMORY`, whose `module` names the one that failed; `ERR_DISTRIBUTED` where another
   *   rank is lost.
   */
  async step(
    batch: ImageBatch | PreparedBatch | null,
    options: StepOptions = {},
  ): Promise<TrainStep> {
    checkKeys(options, 'options', ['learningRate', 'clipNorm', 'timeline', 'calls', 'stop'])
    const { learningRate, clipNorm, ...rest } = readArgument('options', () => ({ ...options }))
    const learningRates = readArgument('learningRate', () => this.#ratesOf(learningRate))
    checkClipNorm(clipNorm)
    const timeline = checkFlag(rest.timeline ?? false, 'timeline')
    const calls = checkFlag(rest.calls ?? false, 'calls')
    const stop = checkFlag(rest.stop ?? false, 'stop')
    this.#checkRates(learningRates)
    const input =
      batch === null && !this.takesBatches
        ? null
        : isHandle(batch, PreparedBatch)
          ? this.#preparedFor(batch)
          : toNativeBatch(labelled(batch as ImageBatch), this.model.config)
    const {
      timeline: points,
      calls: phases,
      transfers,
      stops,
      ...result
    } = await this.#compute((trainer) =>
      trainer.step(input, { learningRates, clipNorm, timeline, calls, stop }),
    )
    return {
      ...result,
      ...(points === null ? {} : { timeline: points }),
      ...(phases === null ? {} : { calls: phases }),
      ...(transfers === null ? {} : { transfers }),
      ...(stops ? { stops } : {}),
    }
  }

  /**
   * Augments a batch on a thread of its own, beside a step that may be running, so that
   * {@link step} finds it ready:
   *
   * ```ts
   * const ahead = trainer.prepare({ split: data.train, indices, augment: { flip: true, seed } })
   * await trainer.step(batch)
   * using next = await ahead
   * await trainer.step(next)
   * ```
   *
   * The images are copied before this returns. The caller disposes the batch, at the earliest once
   * `step` was called with it.
   *
   * @throws {LocalformerError} `ERR_SHAPE`, `ERR_CONFIG`, `ERR_DATASET`, `ERR_OUT_OF_MEMORY`.
   */
  async prepare(batch: ImageBatch | SplitBatch): Promise<PreparedBatch> {
    const { imageSize, classes } = this.model.config
    const input = isSplitBatch(batch)
      ? splitToNativeBatch(batch, { imageSize, classes })
      : toNativeBatch(labelled(batch), { imageSize, classes })
    this.look(() => undefined)
    const prepared = await awaitNative(() => loadTorch().prepareBatch(input))
    return new PreparedBatch(prepared, input.count, { imageSize, classes })
  }

  #preparedFor(batch: PreparedBatch): NativePrepared {
    const { imageSize, classes } = this.model.config
    if (batch.input.imageSize === imageSize && batch.input.classes === classes) return batch.native
    throw new LocalformerError(
      'ERR_SHAPE',
      `The batch was prepared for ${batch.input.classes} classes and ${batch.input.imageSize} ` +
        `pixels, the network has ${classes} and ${imageSize}`,
    )
  }

  /**
   * What every module's head says of a batch, in evaluation mode; the last entry is the network's own
   * classifier. With the averaged weights, where an average is kept.
   */
  async evaluate(batch: ImageBatch): Promise<readonly BatchEvaluation[]> {
    const input = unmixed(toNativeBatch(labelled(batch), this.model.config))
    return this.#compute((trainer) => trainer.evaluate(input))
  }

  /** @internal The same where features come from another rank. */
  async evaluateHanded(): Promise<readonly BatchEvaluation[]> {
    return this.#compute((trainer) => trainer.evaluate(null))
  }

  /**
   * Shares the work of this trainer among the ranks of the process group, for good; all ranks call it with
   * the same options, on trainers made alike. From the next step on a rank keeps the weights and the
   * optimizer state of its own modules alone. With `data` a rank gives {@link step} its share of each batch;
   * {@link train} sees to that, and to batches that are handed on.
   *
   * @throws {LocalformerError} `ERR_CONFIG` where ranks, stages and modules do not go together, or this
   *   process is in no group (`distributed.init()`), or two of them are on the same card;
   *   `ERR_DEVICE_UNAVAILABLE` on CUDA without the addon's CUDA part; `ERR_DISTRIBUTED`.
   */
  async parallelize(options: ParallelOptions = {}): Promise<void> {
    const { native, place } = inGroup()
    const modules = this.modules.length
    const o = resolveParallel(options, { modules, worldSize: place.worldSize })
    if (this.#division !== undefined) {
      throw new LocalformerError('ERR_CONFIG', 'The trainer was parallelized already')
    }
    await orAbandonAlone(async () => {
      await agree('parallel', { parallel: o, run: this.spec, ...(await this.#digests()) })
      await checkCards(this.model.device)
      const stageEnds =
        o.stages === 1
          ? [modules]
          : await ofFirstRank(evenEnds(await moduleSeconds(this.model, this.recipe), o.stages))
      await this.exclusive((trainer) =>
        trainer.divide(native, { stageEnds, features: o.features, inFlight: o.inFlight }),
      )
      this.#division = divisionOf(stageEnds, place)
      await this.agreeOnProducts()
    })
  }

  /**
   * @internal On all ranks at once: from now on the same backends compute the same products on all of them.
   * What comes up for the first time is measured by each, until they agree again.
   */
  async agreeOnProducts(): Promise<void> {
    await this.exclusive(agreeOnProducts)
  }

  /** Of all that ranks have to have in common before they learn; none where nothing is computed. */
  async #digests(): Promise<{ readonly weightsSha256?: string; readonly stateSha256?: string }> {
    if (simulatedOn(this.model.device) !== undefined) return {}
    const { tensors, generator } = await this.readState()
    const weights = [await this.model.readParameters(), await this.readAuxiliary()]
    return { weightsSha256: digestOf(weights), stateSha256: digestOf([tensors], generator) }
  }

  /** This rank's part of the work; undefined where it is not shared. */
  get division(): Division | undefined {
    return this.#division
  }

  /** Does {@link step} take a batch here, or do features come from another rank? */
  get takesBatches(): boolean {
    return this.#division === undefined || this.#division.stage === 0
  }

  /**
   * On all ranks at once: brings what other ranks have to rank 0, weights, optimizer state and averages, so
   * that everything can be read there until the next step, and gives all ranks one table of what computes which
   * product. Does nothing where the work is not shared.
   *
   * @throws {LocalformerError} `ERR_DISTRIBUTED`
   */
  async gather(): Promise<void> {
    if (this.#division === undefined) return
    await this.exclusive((trainer) => trainer.gather())
    // A checkpoint's table is what all ranks go on with, and what they resume with. Who has left has what it had.
    if (isInitialized()) await this.agreeOnProducts()
  }

  // A rank that runs none of its modules would wait for features that nobody sends.
  #checkRates(rates: readonly (number | null)[]): void {
    const { stages = 1 } = this.#division ?? {}
    if (stages === 1 || rates.length === this.modules.length) return
    throw new LocalformerError(
      'ERR_CONFIG',
      `Modules on several ranks are trained all together, not the first ${rates.length} alone`,
    )
  }

  /**
   * Class logits `[count, classes]` of every module's head, in evaluation mode and with the averaged
   * weights where an average is kept; the last entry is the network's own classifier.
   *
   * @throws {LocalformerError} `ERR_SHAPE`, `ERR_BUSY`, `ERR_DISPOSED`, `ERR_OUT_OF_MEMORY`.
   */
  async predict(batch: ImageBatch): Promise<readonly Logits[]> {
    const input = unmixed(toNativeBatch(batch, this.model.config))
    return this.#compute((trainer) => trainer.predict(input))
  }

  /**
   * What every module with a decoder makes of a few images, in evaluation mode and with the averaged
   * weights where an average is kept; labels are not needed. (InfoPro's decoder normalises over the
   * batch, so there the other images count too.)
   *
   * @throws {LocalformerError} `ERR_SHAPE`, `ERR_BUSY`, `ERR_DISPOSED`, `ERR_OUT_OF_MEMORY`.
   */
  async reconstruct(batch: ImageBatch): Promise<readonly Reconstruction[]> {
    const input = unmixed(toNativeBatch(batch, this.model.config))
    return this.#compute((trainer) => trainer.reconstruct(input))
  }

  /** Normalised images on the device, as the first module takes them. */
  async features(batch: ImageBatch): Promise<Features> {
    const input = unmixed(toNativeBatch(batch, this.model.config))
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
    const tensors = tensorsOf(values)
    return this.exclusive((trainer) => trainer.writeAuxiliary(tensors))
  }

  /**
   * From now on keeps the exponential moving average of all weights, heads and decoders included:
   * `decay * average + (1 - decay) * weights` after every step of a module, from the weights as they
   * are now. It takes as much memory as the weights. {@link evaluate} uses it; steps, features and
   * `model.predict` do not. Without a `decay` in [0, 1) it ends and its memory is freed.
   *
   * @throws {LocalformerError} `ERR_CONFIG`, `ERR_OUT_OF_MEMORY`
   */
  async keepAverage(decay?: number): Promise<void> {
    const ok = decay === undefined || (Number.isFinite(decay) && decay >= 0 && decay < 1)
    if (!ok) {
      throw new LocalformerError(
        'ERR_CONFIG',
        expected('a number from 0 to below 1', 'decay', decay),
      )
    }
    await this.exclusive((trainer) => trainer.keepAverage(decay))
    this.#averageDecay = decay
  }

  /** Decay of the average that is kept; undefined: none. */
  get averageDecay(): number | undefined {
    return this.#averageDecay
  }

  /** A copy of the averaged weights, the network's and the auxiliary ones; empty without an average. */
  async readAverage(): Promise<Tensors> {
    return this.exclusive((trainer) => trainer.readAverage())
  }

  /** Makes the averaged weights the weights, and ends the average; without one nothing changes. */
  async applyAverage(): Promise<void> {
    const [network, auxiliary] = partsOf(await this.readAverage())
    await this.model.writeParameters(network)
    await this.writeAuxiliary(auxiliary)
    await this.keepAverage()
  }

  /**
   * A copy of what training needs beside the weights: what the optimizers keep, the averages, the
   * random numbers of stochastic depth and sampling, and with `math: 'tuned'` on the CPU which backend
   * computes which product.
   */
  async readState(): Promise<TrainerState> {
    return this.exclusive((trainer) => trainer.readState())
  }

  /**
   * Puts {@link readState}'s answer back. An average has to be kept where the state has one.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` where it is the state of another trainer; nothing is
   *   written then.
   */
  async writeState(state: TrainerState): Promise<void> {
    if (typeof state !== 'object' || state === null) {
      throw new LocalformerError('ERR_CHECKPOINT', expected('a state', 'state', state))
    }
    const { generator, ...rest } = readArgument('state', () => ({ ...state }), 'ERR_CHECKPOINT')
    const tensors = tensorsOf(rest.tensors, 'tensors')
    if (!isArrayOf(generator, Uint8Array)) {
      const message = expected('a Uint8Array', 'generator', generator)
      throw new LocalformerError('ERR_CHECKPOINT', message)
    }
    const { products } = rest
    return this.exclusive((trainer) => trainer.writeState({ tensors, generator, products }))
  }

  /** @internal Which backends compute its products from now on, in place of all that it knew. */
  async setProducts(choices: NonNullable<TrainerState['products']>): Promise<void> {
    await this.exclusive((trainer) => trainer.setProducts(choices))
  }

  /** Names of the units behind which the network is cut. */
  get cuts(): readonly string[] {
    return this.modules.slice(0, -1).map(({ units }) => units[units.length - 1] ?? '')
  }

  // A frozen module learns at no rate.
  #ratesOf(learningRate: StepOptions['learningRate'] = 1e-3): (number | null)[] {
    if (!Array.isArray(learningRate)) checkRate(learningRate)
    const rates = Array.isArray(learningRate)
      ? (learningRate as readonly (number | null)[])
      : this.modules.map(() => learningRate as number)
    if (rates.length === 0 || rates.length > this.modules.length) {
      const what = `a number, or a list of 1 to ${this.modules.length} of them`
      throw new LocalformerError('ERR_CONFIG', expected(what, 'learningRate', rates))
    }
    // Not `map`, which passes over holes.
    return Array.from(rates, (rate, k) => {
      if (rate !== null) checkRate(rate)
      return this.modules[k]?.frozen ? null : rate
    })
  }

  /** @internal */
  runExclusive<T>(work: (native: NativeTrainer) => Promise<T>): Promise<T> {
    return this.#compute(work)
  }

  /** Work with products in it, of which some may be measured. */
  async #compute<T>(work: (native: NativeTrainer) => Promise<T>): Promise<T> {
    const result = await this.exclusive(work)
    await keepProductChoices()
    return result
  }
}

/** Tensors by name: the network's, and those of heads and decoders. */
export function partsOf(tensors: Tensors): [network: Tensors, auxiliary: Tensors] {
  const isAuxiliary = (name: string) => name.startsWith('auxiliary.')
  const pick = (wanted: boolean) =>
    Object.fromEntries(Object.entries(tensors).filter(([name]) => isAuxiliary(name) === wanted))
  return [pick(false), pick(true)]
}

function isSplitBatch(batch: ImageBatch | SplitBatch): batch is SplitBatch {
  return (
    typeof batch === 'object' && batch !== null && readArgument('batch', () => 'split' in batch)
  )
}

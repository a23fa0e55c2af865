// The whole native surface, typed: what native/bindings/addon.cc registers. Nothing else in the
// package names a native function.

import type { ModuleFigures } from '../metrics/module-metrics.js'
import type { NativeStepFigures } from '../metrics/step-metrics.js'

/** Sizes of a Swin Transformer; validated by the facade, checked for divisibility by the core. */
export interface NativeModelOptions {
  readonly imageSize: number
  readonly patchSize: number
  readonly windowSize: number
  readonly embedDim: number
  readonly depths: readonly number[]
  readonly heads: readonly number[]
  readonly mlpRatio: number
  readonly dropPath: number
  readonly classes: number
  readonly seed: number
}

/**
 * Options as the core's structs have them, by the names in their `Fields`; which there are is said
 * by the tables of options in this package, and read by type in native/bindings/from_js.h.
 */
export interface NativeOptions {
  readonly [name: string]: NativeValue
}
export type NativeValue =
  | string
  | number
  | boolean
  | null
  | undefined
  | readonly NativeValue[]
  | NativeOptions

export interface NativeTrainerOptions {
  /** Index behind the last unit of each module; the last one is the number of units. */
  readonly ends: readonly number[]
  readonly seed: number
  /** One a module: ModuleOptions of native/core/local/module_options.h. */
  readonly modules: readonly NativeOptions[]
  /** What a record of memory calls it: `paper:4`. */
  readonly label?: string | undefined
}

/** What a unit takes of the device's memory in a training step; bytes for the measured batch. */
export interface NativeUnitCost {
  readonly inputBytes: number
  readonly outputBytes: number
  /** Gradients of its parameters, the same for every batch. */
  readonly gradientBytes: number
  /** From forward to backward, the input included where it is needed. */
  readonly keptBytes: number
  readonly forwardPeakBytes: number
  readonly backwardPeakBytes: number
}

/** What a module takes beside the network's weights and their optimizer state; bytes. */
export interface NativeModuleCost {
  /** Of head and decoder with their optimizer state, between steps. */
  readonly residentBytes: number
  /** Highest above what is resident, for the measured batch. */
  readonly peakBytes: number
}

export interface NativeBatch {
  readonly count: number
  readonly height: number
  readonly width: number
  /** Side of the network's input; uint8 images are resized to it. */
  readonly imageSize: number
  /**
   * `count * 3 * height * width`: bytes to normalise, or floats that are normalised already. With
   * `indices` a store of bytes, of which those images are taken.
   */
  readonly images: Uint8Array | Float32Array
  readonly indices?: Uint32Array
  readonly labels?: Int32Array
  /** Of samples that are mixed already, with the share of `labels`. */
  readonly otherLabels?: Int32Array
  readonly labelShares?: Float32Array
  readonly mean: readonly number[]
  readonly std: readonly number[]
  /** Augmentation of native/core/data/augmentation.h. */
  readonly augment: NativeOptions
  /**
   * What these images are of a larger batch: the ones from `first` on among `size`. Where images are
   * mixed their partners stand behind them.
   */
  readonly share?: { readonly first: number; readonly size: number } | undefined
}

export interface NativeTensor {
  readonly shape: readonly number[]
  readonly data: Float32Array
}

export type NativeTensors = Readonly<Record<string, NativeTensor>>

export interface NativeParameter {
  readonly name: string
  readonly shape: readonly number[]
}

export interface NativeUnit {
  readonly name: string
  readonly parameterCount: number
  /** Without the batch: [height, width, channels], or [classes] of the classifier. */
  readonly outputShape: readonly number[]
}

export interface NativeModule {
  readonly name: string
  readonly units: readonly string[]
  readonly parameterCount: number
  readonly auxiliaryParameterCount: number
  readonly reconstructs: boolean
  /** As they count: the last module has its classifier's loss alone. */
  readonly lossWeights: {
    readonly label: number
    readonly reconstruction: number
    readonly penalty: number
  }
  readonly optimizer: {
    readonly kind: string
    readonly weightDecay: number
    readonly betas: readonly [number, number]
    readonly eps: number
    readonly momentum: number
  }
}

/** `Learns`: false where the module only passed the features on. */
export type NativeModuleStep<Learns extends boolean = true> = ModuleFigures<Learns> & {
  readonly learned: Learns
  /** Samples whose largest logit is the label's. */
  readonly correct: Learns extends true ? number : null
  readonly allocatedBytesAfter: number
  /** Of the features handed on. */
  readonly featureBytes: number
  /** Modules that held any gradient when this one's backward pass was done. */
  readonly modulesWithGradients: readonly number[]
}

/** Live bytes at a moment of a step. */
export interface NativeMemoryPoint {
  /** Since the step began. */
  readonly seconds: number
  readonly allocatedBytes: number
  /** Index of the module at work. */
  readonly module: number
  readonly phase: 'forward' | 'losses' | 'backward' | 'update'
}

/** What a module's decoder gives back; pixels are `[count, height, width, 3]`. */
export interface NativeReconstruction {
  /** Index. */
  readonly module: number
  readonly kind: 'pixels' | 'components'
  readonly count: number
  readonly height: number
  readonly width: number
  readonly target: Uint8Array
  readonly prediction: Uint8Array
  readonly loss: number
  readonly relativeError: number
}

/** What was copied between device and host for `offload`; `copies` both ways. */
export interface NativeTransfers {
  readonly toDeviceBytes: number
  readonly toHostBytes: number
  readonly copies: number
}

export interface NativeStep extends NativeStepFigures {
  readonly modules: readonly (NativeModuleStep | NativeModuleStep<false>)[]
  /** Does any rank end the training behind this step? */
  readonly stops: boolean
  /** Null where nothing is offloaded. */
  readonly transfers: NativeTransfers | null
  /** Null where it was not asked for. */
  readonly timeline: readonly NativeMemoryPoint[] | null
  /** The same; empty where no device is simulated. */
  readonly calls: readonly NativePhaseCalls[] | null
}

/** What a simulated CUDA device was asked to do. */
export interface NativeDeviceCalls {
  /** Kernels launched. */
  readonly launches: number
  /** Matrix products of cuBLAS and cuBLASLt. */
  readonly products: number
  /** Those that were allowed to round their inputs to TF32. */
  readonly tf32Products: number
  /** Operations of cuDNN, whose workspaces are not known. */
  readonly cudnnCalls: number
  /** Operations of NCCL: sums over ranks, tensors sent and received. */
  readonly collectives: number
  /** How often the host waited for the device. */
  readonly synchronisations: number
  /** Copies between host and device from memory that is not pinned: the host waits for them. */
  readonly pageableCopies: number
  readonly pinnedCopies: number
  readonly bytesToDevice: number
  readonly bytesToHost: number
  readonly deviceCopies: number
  readonly fills: number
  /** Stretches of memory taken from the device. */
  readonly mallocs: number
  /** Memory used on another stream without an event between. */
  readonly unorderedUses: number
}

/** What a phase of a module asked it to do. */
export interface NativePhaseCalls {
  /** Index of the module. */
  readonly module: number
  readonly phase: NativeMemoryPoint['phase']
  readonly calls: NativeDeviceCalls
}

/** What training needs beside the weights. */
export interface NativeTrainingState {
  /** Which backends compute products; with `math: 'tuned'` on the CPU. */
  readonly products?: readonly NativeProductChoice[] | null | undefined
  /** `optimizer.{k}.exp_avg.norm.weight`, `average.norm.weight` and so on; `{k}` from 0. */
  readonly tensors: NativeTensors
  /** Of the random numbers. */
  readonly generator: Uint8Array
}

/** Sums over the images of a batch. */
export interface NativeEvaluation {
  /** Cross-entropy without label smoothing. */
  readonly lossSum: number
  /** Images whose largest logit is the label's. */
  readonly correct: number
  /** Images whose label is among the five largest logits. */
  readonly correctTop5: number
  /** Class of the largest logit of each image, of equal ones the lower class; -1 where one is NaN. */
  readonly predicted: Int32Array
}

export interface NativeFeatures {
  shape(): number[]
  byteLength(): number
  dispose(): void
}

/** A batch that was prepared ahead of its step. */
export interface NativePrepared {
  byteLength(): number
  read(): Promise<{
    readonly images: NativeTensor
    readonly pixels?: { readonly shape: readonly number[]; readonly data: Uint8Array }
    readonly labels: Int32Array
    readonly otherLabels?: Int32Array
    readonly labelShares?: Float32Array
  }>
  dispose(): void
}

export interface NativeModel {
  units(): NativeUnit[]
  parameters(): NativeParameter[]
  readParameters(): Promise<NativeTensors>
  writeParameters(values: NativeTensors): Promise<void>
  predict(batch: NativeBatch): Promise<NativeTensor>
  evaluate(batch: NativeBatch): Promise<NativeEvaluation>
  gradients(
    batch: NativeBatch,
  ): Promise<{ logits: NativeTensor; loss: number; gradients: NativeTensors }>
  measureUnits(options: {
    readonly batchSize: number
    readonly recompute: string
    readonly dtype: string
  }): Promise<NativeUnitCost[]>
  /** Seconds that each unit takes in a step. */
  timeUnits(options: {
    readonly batchSize: number
    readonly recompute: string
    readonly dtype: string
    readonly math: string
  }): Promise<number[]>
  /** Seconds of a step of a module without its update; options as for `measureModule`. */
  timeModule(options: Parameters<NativeModel['measureModule']>[0]): Promise<number>
  measureModule(options: {
    /** Units [begin, end). */
    readonly begin: number
    readonly end: number
    readonly batchSize: number
    /** ModuleOptions of native/core/local/module_options.h. */
    readonly module: NativeOptions
  }): Promise<NativeModuleCost>
  dispose(): void
}

export interface NativeTrainer {
  modules(): NativeModule[]
  auxiliaryParameters(): NativeParameter[]
  readAuxiliary(): Promise<NativeTensors>
  writeAuxiliary(values: NativeTensors): Promise<void>
  /** `batch`: null where features come from another rank. */
  step(
    batch: NativeBatch | NativePrepared | null,
    options: {
      /** Of the modules that run, from the first; null only passes features on. */
      readonly learningRates: readonly (number | null)[]
      readonly clipNorm: number | undefined
      readonly timeline: boolean
      readonly calls: boolean
      /** Tell the other ranks that the training ends behind this step. */
      readonly stop: boolean
    },
  ): Promise<NativeStep>
  /** With the averaged weights, where an average is kept; of modules that are here. */
  evaluate(batch: NativeBatch | null): Promise<NativeEvaluation[]>
  /** Class logits of every module's head; weights as for `evaluate`. */
  predict(batch: NativeBatch): Promise<NativeTensor[]>
  /** One entry for each module with a decoder; weights as for `evaluate`. */
  reconstruct(batch: NativeBatch): Promise<NativeReconstruction[]>
  features(batch: NativeBatch): Promise<NativeFeatures>
  stepModule(
    index: number,
    options: {
      readonly features: NativeFeatures
      readonly labels: Int32Array
      readonly learningRate: number
      readonly clipNorm: number | undefined
      /** For a module that reconstructs it. */
      readonly image: NativeFeatures | undefined
    },
  ): Promise<NativeModuleStep & { features: NativeFeatures }>
  forwardModule(index: number, features: NativeFeatures): Promise<NativeFeatures>
  /** Frees the optimizer's state; the module's next step begins with a new one. */
  releaseOptimizer(index: number): Promise<void>
  /** Starts, or without a decay ends, an average of all weights. */
  keepAverage(decay: number | undefined): Promise<void>
  /** By the names of the weights; empty where no average is kept. */
  readAverage(): Promise<NativeTensors>
  readState(): Promise<NativeTrainingState>
  writeState(state: NativeTrainingState): Promise<void>
  /** What its products are computed by; null where nothing is chosen. */
  products(): Promise<readonly NativeProductChoice[] | null>
  /** In place of all that it has. */
  setProducts(choices: readonly NativeProductChoice[]): Promise<void>
  /** Divides the work among the ranks of a group, for good. */
  divide(group: NativeGroup, options: NativeDivision): Promise<void>
  /** On all ranks at once: rank 0 gets what it released. */
  gather(): Promise<void>
  dispose(): void
}

export interface NativeDivision {
  /** Index behind the last module of each stage; the ranks of a stage share a batch. */
  readonly stageEnds: readonly number[]
  /** What features travel in. */
  readonly features: 'float32' | 'bfloat16'
  /** Batches that a stage may be ahead of the next one. */
  readonly inFlight: number
}

/** Processes that train together. All but `fail` is done in turn, in the same order on all ranks. */
export interface NativeGroup {
  /** What every rank gives under a key, by rank; each key once. */
  exchange(key: string, text: string): Promise<string[]>
  /** Over all ranks. */
  sum(values: readonly number[]): Promise<number[]>
  /** Of this process since it joined. */
  traffic(): Promise<NativeTraffic>
  /** The others end with this. */
  fail(reason: string): void
  /** When all ranks have come to this. */
  leave(): Promise<void>
  dispose(): Promise<void>
}

export interface NativeTraffic {
  /** Of tensors. */
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Waited for other ranks. */
  readonly waitSeconds: number
}

export interface NativeGroupOptions {
  readonly rank: number
  readonly worldSize: number
  /** Of the store. */
  readonly address: string
  readonly port: number
  /** Does this process host it? */
  readonly hostsStore: boolean
  /** Of all keys. */
  readonly prefix: string
  /** For all ranks to come. */
  readonly joinSeconds: number
  /** Without a sign of life a rank is lost. */
  readonly silenceSeconds: number
  readonly interface: string | undefined
}

export interface NativeSegment {
  readonly address: number
  readonly totalSize: number
  readonly allocatedSize: number
  readonly segmentType: 'large' | 'small'
  readonly blocks: readonly {
    readonly size: number
    readonly requestedSize: number
    readonly state: 'active_allocated' | 'inactive'
  }[]
}

/** What a snapshot file holds. */
export interface NativeSnapshot {
  /** Allocations, frees and what goes with them. */
  readonly events: number
  /** False: there were more, and the oldest were left out. */
  readonly isComplete: boolean
}

/** Exports of liblocalformer_torch.so. */
export interface NativeTorch {
  createModel(options: NativeModelOptions, device: string): Promise<NativeModel>
  createTrainer(model: NativeModel, options: NativeTrainerOptions): Promise<NativeTrainer>
  /** When all ranks are there. */
  joinGroup(options: NativeGroupOptions): Promise<NativeGroup>
  /** Augments on the data thread, beside a step. */
  prepareBatch(batch: NativeBatch): Promise<NativePrepared>
  /** PyTorch's flat keys. */
  memoryStats(device: string): Record<string, number>
  emptyCache(device: string): void
  resetPeakMemoryStats(device: string): void
  resetAccumulatedMemoryStats(device: string): void
  memoryInfo(device: string): { freeBytes: number; totalBytes: number }
  /** 0: no limit. */
  setCpuMemoryLimit(bytes: number): void
  /** For tests: the `count`-th allocation from now on fails, and that one alone; 0: none does. */
  failCpuAllocation(count: number): void
  cpuMemorySnapshot(): NativeSegment[]
  /** Of all devices of this type: the last `mostEvents` from now on; 0: no longer. */
  recordMemoryHistory(device: string, mostEvents: number): void
  /** Writes what was recorded, as PyTorch's snapshot. */
  dumpMemorySnapshot(device: string, file: string): Promise<NativeSnapshot>
  /** What cuBLAS took on this device when it was warmed up. */
  workspaceBytes(device: string): number
  cudaDeviceCount(): number
  threads(): number
  setThreads(count: number): void
  /** The same where LibTorch's own number is larger; once in a process, and not once a number was set. */
  limitThreads(most: number): void
  /** Of an open file, until it is closed; false where another descriptor holds it. */
  lockFile(descriptor: number): boolean
  /** Since the process began; null where no device is simulated. */
  simulatedCalls(): NativeDeviceCalls | null
  /** Kernels that a simulated device was given so far, by name. */
  simulatedKernels(): { name: string; launches: number }[]
  /** For tests: the call of this function after `after` others fails with `status`, and that alone. */
  failSimulatedCall(name: string, after: number, status: number): void
  /**
   * For processes that only plan: from now on nothing is computed, on the CPU. Every step takes the
   * memory that it would take, and what it gives means nothing.
   */
  setDryRuns(dry: boolean): void
  /** Operations of all products that were asked for since the process began, by type. */
  countedWork(): NativeWork
  versions(): { libtorch: string; cpuCapability: string; cuda: boolean }
  arithmetic(): NativeArithmetic
  /** What the process knows, from a file or measured. */
  productChoices(): NativeProductChoice[]
  /** Adds to them; what is there stays. */
  addProductChoices(choices: readonly NativeProductChoice[]): void
  /** How many the process has measured so far. */
  measuredProducts(): number
  /** For tests: those that this processor has, the default first. */
  productBackends(
    kind: NativeProductChoice['kind'],
    dtype: NativeProductChoice['dtype'],
  ): NativeProductChoice['backend'][]
  /** For tests: a product of `x`, `weight`, `bias`, `dy`, `sum`, whichever its kind takes. */
  productBy(
    options: Pick<NativeProductChoice, 'kind' | 'dtype' | 'backend'>,
    operands: NativeTensors,
  ): { values: NativeTensor; dtype: NativeProductChoice['dtype']; isContiguous: boolean }
  /**
   * For tests: false makes every operation that has loops of its own on the CPU take LibTorch's
   * operations, as other devices do.
   */
  useVectorKernels(use: boolean): void
  /**
   * For tests: from now on what may give other bits the next time throws, and memory that nobody wrote
   * is NaN. Products on CUDA then want CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment.
   */
  refuseNondeterminism(refuse: boolean): void
}

/** A product of [m, k] and [k, n] has 2 m n k operations. */
export interface NativeWork {
  /** And whatever else is not bfloat16. */
  readonly float32: number
  readonly bfloat16: number
}

/** What the process computes in: LibTorch's globals, as the work that ran last set them. */
export interface NativeArithmetic {
  readonly products: 'ieee' | 'tf32'
  readonly convolutions: 'ieee' | 'tf32'
  readonly deterministicCudnn: boolean
  readonly benchmarkCudnn: boolean
}

/** Which backend computes a product of linear layers on the CPU. */
export interface NativeProductChoice {
  readonly kind: 'forward' | 'input' | 'weight' | 'added-weight'
  readonly dtype: 'float32' | 'bfloat16'
  /** Rounded up to a power of two; 8192 stands for more too. */
  readonly rows: number
  /** Of the layer. */
  readonly in: number
  readonly out: number
  readonly threads: number
  readonly backend: 'mkl' | 'onednn' | 'onednn-copied' | 'convolution' | 'widened'
}

/** Every function of {@link NativeTorch}, to check a loaded addon against this file. */
export const NATIVE_EXPORTS = [
  'createModel',
  'createTrainer',
  'joinGroup',
  'prepareBatch',
  'memoryStats',
  'emptyCache',
  'resetPeakMemoryStats',
  'resetAccumulatedMemoryStats',
  'memoryInfo',
  'setCpuMemoryLimit',
  'failCpuAllocation',
  'cpuMemorySnapshot',
  'recordMemoryHistory',
  'dumpMemorySnapshot',
  'workspaceBytes',
  'cudaDeviceCount',
  'threads',
  'setThreads',
  'limitThreads',
  'lockFile',
  'simulatedCalls',
  'simulatedKernels',
  'failSimulatedCall',
  'setDryRuns',
  'countedWork',
  'versions',
  'arithmetic',
  'useVectorKernels',
  'productChoices',
  'addProductChoices',
  'measuredProducts',
  'productBackends',
  'productBy',
  'refuseNondeterminism',
] as const satisfies readonly (keyof NativeTorch)[]

/** Exports of localformer.node. */
export interface NativeLoader {
  /** Opens the libraries in this order, then the addon, all by absolute path. */
  open(libraries: readonly string[], addon: string): NativeTorch | NativeCuda
  /** Before that: opens the stand-ins and says which card they are; what they were made for. */
  simulate(standIns: readonly string[], card: string, key: string): string
  /** Key of the card that this process simulates, whichever thread asked for it. */
  simulated(): string | undefined
}

/** Exports of liblocalformer_cuda.so; `device` is an index. */
export interface NativeCuda {
  deviceProperties(device: number): {
    name: string
    major: number
    minor: number
    totalMemoryBytes: number
    multiProcessorCount: number
    /** Of the card itself, whatever its index: 32 hexadecimal digits. */
    uuid: string
  }
  synchronize(device: number): void
  /** Of CUDA 1000 * major + 10 * minor; cuDNN's as it says itself, null where there is none. */
  versions(): { driver: number; runtime: number; cudnn: number | null }
  setMemoryFraction(fraction: number, device: number): void
  /** 0: no limit. */
  setMemoryLimit(bytes: number, device: number): void
  memorySnapshot(device: number): NativeSegment[]
}

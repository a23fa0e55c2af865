// What the process that tries steps is asked and answers.

import type { ErrorMessage } from '../base/error-message.js'
import type { SwinConfig } from '../local/swin-transformer.js'
import type { TrainerOptions } from '../local/trainer-of-spec.js'
import type { Phase } from '../local/words.js'
import type { NativeWork } from '../native/contract.js'

/** Where steps are tried. */
export interface DryRunTarget {
  /**
   * `cpu`, `cuda:N`, or a simulated card. On the CPU and on a simulated card nothing is computed; a real
   * card trains for the steps that are tried.
   */
  readonly device: string
  /** Train, on the CPU too. */
  readonly computes: boolean
}

/** Of the process that asks, which a step is tried for; undefined: what another process takes by itself. */
export interface AskingProcess {
  /** Folder of its LibTorch. A simulated card may need another one. */
  readonly libtorch: string
  readonly threads: number
}

/** One configuration, tried for two steps: the first leaves holes that the second has to live with. */
export interface DryRunRequest {
  readonly network: SwinConfig
  /** A run spec. */
  readonly run: string
  /** What it does not say. */
  readonly training: TrainerOptions
  readonly batchSize: number
  /** Decay of an average of the weights; null: none. */
  readonly ema: number | null
  /** Upper bound of what tensors may take, as `memory.setLimit` has it; 0: none but the device's. */
  readonly limitBytes: number
}

/** A module in a step; bytes of everything that is alive meanwhile. */
export interface PlannedModule {
  readonly name: string
  readonly units: readonly string[]
  /** Of its segment, head and decoder. */
  readonly parameters: number
  readonly peakAllocatedBytes: number
  /** Of parameters whose gradients travel in a copy where ranks add them up: those below 1 MiB. */
  readonly smallBytes: number
  /** Of what it hands on. */
  readonly featureBytes: number
  /** Highest in each phase. */
  readonly phasePeakBytes: Readonly<Record<Phase, number>>
}

/** What a step asks of the device, beside memory. */
export interface StepWork {
  /** Of its products, by type: 2 m n k each. */
  readonly operations: NativeWork
  /** Sum of all that was allocated: each byte of it is written once, and read again. */
  readonly allocatedBytes: number
  /** Tensors that were allocated: about as many as there are operators that make one. */
  readonly allocations: number
  /** Weights and what the optimizers keep of them: an update reads and writes each byte. */
  readonly updatedBytes: number
  /** Kernels and products, on a simulated card; else null. */
  readonly launches: number | null
  /** Copied between device and host, for offload. */
  readonly transferBytes: number
}

export interface DryRunMeasurement {
  readonly status: 'ok'
  /** Between steps: all that follow, and the network's buffers. */
  readonly residentBytes: number
  readonly weightBytes: number
  /** Heads and decoders, and what the optimizers keep. */
  readonly optimizerBytes: number
  readonly averageBytes: number
  readonly workspaceBytes: number
  readonly peakAllocatedBytes: number
  readonly peakReservedBytes: number
  /** Names of the units behind which it is cut. */
  readonly cuts: readonly string[]
  readonly modules: readonly PlannedModule[]
  readonly work: StepWork
  /** It called cuDNN, whose workspaces are not known: at least so much. */
  readonly isLowerBound: boolean
  /** Of the second step; means something only where it was computed. */
  readonly stepSeconds: number
}

export interface DryRunFailure {
  readonly status: 'out_of_memory'
  /** Who asked for what there was no room for; null: before any step. */
  readonly module: string | null
  readonly phase: string | null
  readonly message: string
}

export type DryRunResult = DryRunMeasurement | DryRunFailure

/** How long a module takes of a step, update included: a part for each image, and one for the step. */
export interface ModuleTime {
  readonly secondsPerImage: number
  readonly secondsPerStep: number
}

export interface ModuleTimes {
  /** Names of the units behind which the network was cut: what is cut by time is cut so once. */
  readonly cuts: readonly string[]
  readonly modules: readonly ModuleTime[]
}

/** What the other process is told. */
export type DryRunCall =
  | {
      readonly type: 'start'
      readonly target: DryRunTarget
      readonly asking: AskingProcess | undefined
    }
  | { readonly type: 'run'; readonly request: DryRunRequest }
  /** How long each module takes; by so many threads. */
  | { readonly type: 'time'; readonly request: DryRunRequest & { readonly threads?: number } }

/** What it answers, one for each call. */
export type DryRunMessage =
  | {
      readonly type: 'ready'
      /** LibTorch's name for the processor's instructions: `AVX512`. */
      readonly cpuCapability: string
      /** That it computes with. */
      readonly threads: number
      /** Of the process, before any tensor. */
      readonly processBytes: number
      /** What the device has in all, or the system. */
      readonly totalBytes: number
      /** What of it is free. */
      readonly freeBytes: number
    }
  | { readonly type: 'result'; readonly result: DryRunResult }
  | { readonly type: 'times'; readonly times: ModuleTimes }
  | ErrorMessage

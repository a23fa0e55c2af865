// What the fresh process of a measurement is asked and answers.
import type { ErrorMessage } from '../base/error-message.js'
import type { ImageBatch } from '../batch/batch.js'
import type { WrittenSnapshot } from '../device/memory.js'
import type { DeviceCalls } from '../device/simulation.js'
import type { Parallel } from '../local/parallel.js'
import type { RunSpec } from '../local/run-spec.js'
import type { SwinOptions } from '../local/swin-transformer.js'
import type { MemoryPoint } from '../local/trainer.js'
import type { TrainerOptions } from '../local/trainer-of-spec.js'
import type { ModuleMeans } from '../metrics/module-metrics.js'

export interface MeasureRequest {
  readonly spec: RunSpec
  readonly model: SwinOptions
  readonly batches: readonly ImageBatch[]
  /** So many of the batches are not measured. */
  readonly warmup: number
  /** 0: none. */
  readonly memoryLimitBytes: number
  /** File that receives a snapshot of memory, from the network's making on; undefined: none. */
  readonly memorySnapshot: string | undefined
  /** Record the last step's memory. */
  readonly timeline: boolean
  /** Count what a simulated device is asked in the last step, by module and phase too. */
  readonly calls: boolean
  readonly training: TrainerOptions
  /** Threads of an operation; undefined: the physical cores, of several ranks a rank's share. */
  readonly threads: number | undefined
  /** How the processes that were started together share the work; null: this one is alone. */
  readonly parallel: Parallel | null
}

/**
 * With what its metrics come to over the measured steps: means, of peaks the highest. On a simulated
 * device, which computes nothing, all but bytes are null.
 */
export interface CompareModule extends Omit<ModuleMeans, 'seconds'> {
  readonly seconds: number | null
  readonly name: string
  readonly units: readonly string[]
  /** Segment, head and decoder together. */
  readonly parameters: number
  readonly reconstructs: boolean
  /** By phase, where they were asked for. */
  readonly calls?: Readonly<Record<string, DeviceCalls>>
}

export interface Measurement {
  readonly versions: {
    readonly localformer: string
    readonly libtorch: string
    readonly node: string
  }
  readonly threads: number
  readonly residentBytes: number
  /** Of `residentBytes`, what the device's libraries keep for themselves: 0 on the CPU. */
  readonly workspaceBytes: number
  readonly peakAllocatedBytes: number
  readonly peakReservedBytes: number
  readonly peakRssBytes: number
  /** Empty on a simulated device; of a rank from the end of a step to that of the next, waiting included. */
  readonly stepSeconds: readonly number[]
  /** Of all steps, those before the measured ones too. */
  readonly tuningSeconds: number
  /** Of the last step on a simulated device. */
  readonly calls: DeviceCalls | null
  readonly perModule: readonly CompareModule[]
  readonly timeline: readonly MemoryPoint[] | undefined
  readonly snapshot: WrittenSnapshot | undefined
  /** What only a process among several has; null: it was alone. */
  readonly group: RankMeasurement | null
}

export interface RankMeasurement {
  /** Those that it has, [first, last). */
  readonly modules: readonly [first: number, last: number]
  /** In a measured step, of tensors. */
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Of the measured steps' time, waiting for others, 0 to 1. */
  readonly waitedShare: number
}

export type MeasureMessage =
  | { readonly type: 'step'; readonly step: number }
  | { readonly type: 'result'; readonly measurement: Measurement }
  | ErrorMessage

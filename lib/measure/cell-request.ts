// What is asked of the process of a cell, and how it answers.
import type { TrainingConfigInput } from '../config/schema.js'
import type { RunEvaluation } from '../runs/evaluate-run.js'
import type { RunEvent } from '../train/events.js'

/** What is asked of the process of a cell: to train, or to go on, unless it is trained, then to evaluate. */
export interface CellRequest {
  readonly directory: string
  readonly work: 'train' | 'resume' | 'evaluate'
  readonly config: TrainingConfigInput
  /** Only the first so many test images; null: all. */
  readonly testLimit: number | null
  /** Upper bound of the bytes that tensors may take; undefined: none. */
  readonly memoryLimitBytes?: number | undefined
}

/** How a cell's process ended. */
export type CellResult =
  | { readonly status: 'ok'; readonly evaluation: RunEvaluation }
  | { readonly status: 'failed'; readonly code: string | null; readonly message: string }

/** Does what is asked in a process of its own; rejects with the signal's reason. */
export type CellRunner = (
  request: CellRequest,
  options: {
    readonly signal?: AbortSignal | undefined
    readonly onEvent?: ((event: RunEvent) => void) | undefined
  },
) => Promise<CellResult>

export type CellMessage =
  | { readonly type: 'event'; readonly event: RunEvent }
  | { readonly type: 'result'; readonly evaluation: RunEvaluation }
  | { readonly type: 'error'; readonly code: string; readonly message: string }

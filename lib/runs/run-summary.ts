// What a run came to, as summary.json keeps it.
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { RUN_SCHEMA, SUMMARY_FILE } from '../base/run-files.js'
import { checkFile } from '../base/validate.js'
import type { Evaluation } from '../evaluate/evaluate.js'
import type { ModuleMeans } from '../metrics/module-metrics.js'
import type { DoneEvent } from '../train/events.js'

export interface RunSummary {
  readonly schema: number
  /** Run spec. */
  readonly run: string
  readonly directory: string
  /** File of the weights. */
  readonly weights: string
  readonly steps: number
  /** Of all processes that trained it. */
  readonly seconds: number
  /** Images over time, of all steps with the waits for their batches; null where there was none. */
  readonly imagesPerSecond: number | null
  readonly peakAllocatedBytes: number
  /** Did `patience` end it? */
  readonly stoppedEarly: boolean
  /** The last one; null where none was made. */
  readonly evaluation: Evaluation | null
  /** Means of the last epoch. */
  readonly modules: readonly ModuleMeans[]
  /** What was told as warnings. */
  readonly warnings: readonly string[]
}

export function summaryOf(parts: {
  readonly run: string
  readonly directory: string
  readonly weights: string
  readonly event: DoneEvent
  readonly modules: readonly ModuleMeans[]
  readonly warnings: readonly string[]
}): RunSummary {
  const { event, modules, warnings, ...place } = parts
  const { type: _, evaluation, ...amounts } = event
  return { schema: RUN_SCHEMA, ...place, ...amounts, evaluation, modules, warnings: [...warnings] }
}

/** What the run of a folder came to; null where it is not over, or the file is not what a run wrote. */
export async function readRunSummary(directory: string): Promise<RunSummary | null> {
  checkFile(directory, 'directory', 'the folder of a run')
  try {
    const summary = JSON.parse(await readFile(path.join(directory, SUMMARY_FILE), 'utf8'))
    return summary?.schema === RUN_SCHEMA ? summary : null
  } catch {
    return null
  }
}

// What a run is told to: the interface that the files of a run folder, and a user's own loggers, share.
import type { RunEvent } from '../train/events.js'

/** The run that is logged. */
export interface LoggedRun {
  readonly directory: string
  /** Its run spec, e.g. `paper:4`. */
  readonly run: string
  /** As in config.json. */
  readonly config: object
  /** Number of modules. */
  readonly modules: number
}

/** What happened. */
export interface LogEntry {
  readonly event: RunEvent
  /** Steps that are done, from 1. */
  readonly step: number
  /** Its figures by TensorBoard's tags, `label_loss/module_1` for one; none for most events. */
  readonly scalars: Readonly<Record<string, number>>
}

/**
 * Receives what happens in a run; only `log` is needed. Calls come one after the other. What a logger
 * does later (a promise that it gives) is not waited for by the steps, but at checkpoints and at the end.
 */
export interface Logger {
  /** Of all loggers of a run the only one of its name; a checkpoint keeps what it gives under it. */
  readonly name: string
  /** Does the run stop where this one fails? Default false: it is told as a `warning` event, once. */
  readonly required?: boolean
  /**
   * Before the first entry.
   *
   * @param restored What {@link sync} gave at the checkpoint that the run goes on from, to cut what
   *   was logged after it; undefined: the run begins.
   */
  open?(run: LoggedRun, restored: unknown): void | Promise<void>
  log(entry: LogEntry): unknown
  /** Gives, when all is kept, where it stands: plain values, fit for JSON. */
  sync?(): unknown
  /** When the run ends or is given up. */
  close?(): void | Promise<void>
}

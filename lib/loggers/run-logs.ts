// What happened in a run, in the three forms that are read: events.jsonl, metrics.csv and
// TensorBoard's event file. They grow with every event; a run that goes on from a checkpoint cuts
// them back to where they were at it, so that no step stands in them twice.

import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { TrainEvent } from '../train/events.js'

import { AppendFile } from './append-file.js'
import { metricsHeader, metricsLine } from './metrics-csv.js'
import { eventFileName, scalarsOf, scalarsRecord, versionRecord } from './tensorboard.js'

/** Bytes in each file, by its name. */
export type LogLengths = Readonly<Record<string, number>>

const EVENTS = 'events.jsonl'
const METRICS = 'metrics.csv'
const TENSORBOARD = 'events.out.tfevents.'

export class RunLogs {
  readonly #modules: number
  readonly #events: AppendFile
  readonly #metrics: AppendFile
  readonly #tensorboard: AppendFile
  #step: number

  /**
   * @param modules Number of modules of the run.
   * @param from Where a checkpoint says that the files were; default: they begin anew.
   * @throws {LocalformerError} `ERR_CHECKPOINT` where a file cannot be written, as everything here.
   */
  constructor(directory: string, modules: number, from?: { lengths: LogLengths; step: number }) {
    this.#modules = modules
    this.#step = from?.step ?? 0
    const lengths = from?.lengths ?? {}
    const known = Object.keys(lengths).find((name) => name.startsWith(TENSORBOARD))
    for (const name of readdirSync(directory)) {
      if (name.startsWith(TENSORBOARD) && name !== known) rmSync(path.join(directory, name))
    }
    const open = (name: string) => new AppendFile(path.join(directory, name), lengths[name] ?? 0)
    this.#events = open(EVENTS)
    this.#metrics = open(METRICS)
    this.#tensorboard = open(known ?? eventFileName(now()))
    if (this.#metrics.length === 0) this.#metrics.append(metricsHeader(modules))
    if (this.#tensorboard.length === 0) this.#tensorboard.append(versionRecord(now()))
  }

  add(event: TrainEvent): void {
    if (event.type === 'step') this.#step = event.step
    this.#events.append(`${JSON.stringify(recorded(event))}\n`)
    this.#metrics.append(metricsLine(event, this.#modules, this.#step))
    const scalars = scalarsOf(event)
    if (scalars.length > 0) {
      this.#tensorboard.append(scalarsRecord(now(), this.#step, scalars))
    }
  }

  /** Waits until all is on disk; gives where the files are now. */
  sync(): LogLengths {
    const files = [this.#events, this.#metrics, this.#tensorboard]
    for (const file of files) file.sync()
    return Object.fromEntries(files.map(({ file, length }) => [path.basename(file), length]))
  }

  close(): void {
    for (const file of [this.#events, this.#metrics, this.#tensorboard]) file.close()
  }
}

// How far the run is stands in the checkpoint itself.
function recorded(event: TrainEvent): object {
  if (event.type !== 'checkpoint') return event
  const { progress: _, ...rest } = event
  return rest
}

function now(): number {
  return Date.now() / 1000
}

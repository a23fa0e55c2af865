// metrics.csv: a line a step and one an evaluation.
import path from 'node:path'
import { METRICS_FILE } from '../base/run-files.js'
import { AppendFile, keptLength } from './append-file.js'
import type { LogEntry, LoggedRun, Logger } from './logger.js'
import { metricsHeader, metricsLine } from './metrics-csv.js'

export class CsvLogger implements Logger {
  readonly name = 'csv'
  readonly required = true
  #file: AppendFile | undefined
  #modules = 0

  open({ directory, modules }: LoggedRun, restored: unknown): void {
    this.#modules = modules
    this.#file = new AppendFile(path.join(directory, METRICS_FILE), keptLength(restored))
    if (this.#file.length === 0) this.#file.append(metricsHeader(modules))
  }

  log({ event, step }: LogEntry): void {
    this.#file?.append(metricsLine(event, this.#modules, step))
  }

  sync(): unknown {
    return this.#file?.sync()
  }

  close(): void {
    this.#file?.close()
  }
}

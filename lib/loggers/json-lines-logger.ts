// events.jsonl: every event as a line of JSON. What the report and whoever follows a run read.
import path from 'node:path'
import { EVENTS_FILE } from '../base/run-files.js'
import type { RunEvent } from '../train/events.js'
import { AppendFile, keptLength } from './append-file.js'
import type { LogEntry, LoggedRun, Logger } from './logger.js'

export class JsonLinesLogger implements Logger {
  readonly name = 'json-lines'
  readonly required = true
  #file: AppendFile | undefined

  open({ directory }: LoggedRun, restored: unknown): void {
    this.#file = new AppendFile(path.join(directory, EVENTS_FILE), keptLength(restored))
  }

  log({ event }: LogEntry): void {
    this.#file?.append(`${JSON.stringify(recorded(event))}\n`)
  }

  sync(): unknown {
    return this.#file?.sync()
  }

  close(): void {
    this.#file?.close()
  }
}

// How far the run is stands in the checkpoint itself.
function recorded(event: RunEvent): object {
  if (event.type !== 'checkpoint') return event
  const { progress: _, ...rest } = event
  return rest
}

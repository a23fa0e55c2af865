// events.out.tfevents.*: the figures of a run for TensorBoard. A folder has one, since TensorBoard shows
// all that it finds as one run.
import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { TENSORBOARD_PREFIX } from '../base/run-files.js'
import { AppendFile, keptLength } from './append-file.js'
import type { LogEntry, LoggedRun, Logger } from './logger.js'
import { eventFileName, scalarsRecord, versionRecord } from './tensorboard.js'

export class TensorBoardLogger implements Logger {
  readonly name = 'tensorboard'
  readonly required = true
  #file: AppendFile | undefined

  open({ directory }: LoggedRun, restored: unknown): void {
    const known = (restored as { file?: unknown } | undefined)?.file
    const name = isOurs(known) ? known : eventFileName(now())
    for (const other of readdirSync(directory)) {
      if (isOurs(other) && other !== name) rmSync(path.join(directory, other))
    }
    this.#file = new AppendFile(path.join(directory, name), keptLength(restored))
    if (this.#file.length === 0) this.#file.append(versionRecord(now()))
  }

  log({ step, scalars }: LogEntry): void {
    const values = Object.entries(scalars).map(([tag, value]) => ({ tag, value }))
    if (values.length > 0) this.#file?.append(scalarsRecord(now(), step, values))
  }

  sync(): unknown {
    return this.#file?.sync()
  }

  close(): void {
    this.#file?.close()
  }
}

/** A name that stands in a checkpoint is a path of nothing else. */
function isOurs(name: unknown): name is string {
  return typeof name === 'string' && name.startsWith(TENSORBOARD_PREFIX) && !name.includes('/')
}

function now(): number {
  return Date.now() / 1000
}

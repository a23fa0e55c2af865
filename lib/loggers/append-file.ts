// A file that only grows while a run goes on, and is cut back where the run goes on from an earlier
// point. Written at once rather than later: a process that is killed loses nothing.
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { folderError } from '../base/folder-error.js'

/** Where a file stood at a checkpoint. */
export interface FilePlace {
  readonly file: string
  readonly bytes: number
}

/** Bytes that a file had there; 0 where nothing says so. */
export function keptLength(place: unknown): number {
  const { bytes } = (place ?? {}) as Partial<FilePlace>
  return typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes > 0 ? bytes : 0
}

export class AppendFile {
  readonly file: string
  readonly #descriptor: number
  #length: number

  /**
   * Opens `file`, or makes it, and keeps only its first `length` bytes, or fewer where it has fewer:
   * someone may have removed it.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` with the reason, as everything here.
   */
  constructor(file: string, length: number) {
    this.file = file
    try {
      this.#descriptor = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o666)
      this.#length = Math.min(length, fstatSync(this.#descriptor).size)
      ftruncateSync(this.#descriptor, this.#length)
    } catch (cause) {
      throw folderError(file, cause)
    }
  }

  /** Bytes that are in it. */
  get length(): number {
    return this.#length
  }

  append(content: string | Uint8Array): void {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content
    try {
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(this.#descriptor, bytes, at, bytes.length - at, this.#length + at)
      }
    } catch (cause) {
      throw folderError(this.file, cause)
    }
    this.#length += bytes.length
  }

  /** Returns when what was appended is on disk, with where the file stands then. */
  sync(): FilePlace {
    try {
      fsyncSync(this.#descriptor)
    } catch (cause) {
      throw folderError(this.file, cause)
    }
    return { file: path.basename(this.file), bytes: this.#length }
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

// A file that only grows while a run goes on, and is cut back where the run goes on from an earlier
// point. Written at once rather than later: a process that is killed loses nothing.
import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { folderError } from './folder-error.js'

export class AppendFile {
  readonly file: string
  readonly #descriptor: number
  #length: number

  /**
   * Opens `file`, or makes it, and keeps only its first `length` bytes.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` with the reason, as everything here.
   */
  constructor(file: string, length: number) {
    this.file = file
    try {
      this.#descriptor = openSync(file, length === 0 ? 'w' : 'r+')
      ftruncateSync(this.#descriptor, length)
    } catch (cause) {
      throw folderError(file, cause)
    }
    this.#length = length
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

  /** Returns when what was appended is on disk. */
  sync(): void {
    try {
      fsyncSync(this.#descriptor)
    } catch (cause) {
      throw folderError(this.file, cause)
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

// One process at a time writes a run folder. The lock is the system's and goes with the process, so
// that a run which was killed can go on at once.
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { loadTorch } from '../native/load.js'

const LOCK = '.lock'

export class RunLock {
  #descriptor: number | undefined

  private constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  /**
   * @param directory A run folder that is there.
   * @throws {LocalformerError} `ERR_BUSY` where another trainer writes it; what the file system says
   *   where it cannot be written.
   */
  static take(directory: string): RunLock {
    const file = path.join(directory, LOCK)
    // Not emptied: until the lock is held, the text in it is that of its holder.
    const descriptor = openSync(file, 'a')
    if (!loadTorch().lockFile(descriptor)) {
      closeSync(descriptor)
      throw inUse(directory, readFileSync(file, 'utf8').trim())
    }
    writeFileSync(file, `${process.pid}\n`)
    return new RunLock(descriptor)
  }

  /** Lets others write the folder; again does nothing. */
  release(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}

function inUse(directory: string, pid: string): LocalformerError {
  return new LocalformerError(
    'ERR_BUSY',
    `The run folder ${directory} is being written by process ${pid}`,
    { hint: 'Wait until that one is over, or name another folder with --run-dir.' },
  )
}

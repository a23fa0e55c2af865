// One process at a time writes a run folder. The lock is the system's, on the folder itself, and goes
// with the process, so that a run which was killed can go on at once. The file .lock only names the
// holder, and holds the lock where a file system has none for folders.

import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { LOCK_FILE } from '../base/run-files.js'
import { loadTorch } from '../native/load.js'

export class RunLock {
  readonly #descriptors: number[]

  private constructor(descriptors: number[]) {
    this.#descriptors = descriptors
  }

  /**
   * @param directory A run folder that is there.
   * @throws {LocalformerError} `ERR_BUSY` where another trainer writes it; what the file system says
   *   where it cannot be written.
   */
  static take(directory: string): RunLock {
    const file = path.join(directory, LOCK_FILE)
    // Not emptied: until the lock is held, the text in it is that of its holder.
    const lock = new RunLock([openSync(file, 'a'), openSync(directory, 'r')])
    if (!lock.#isHeld()) {
      lock.release()
      throw inUse(directory, readFileSync(file, 'utf8').trim())
    }
    writeFileSync(file, `${process.pid}\n`)
    return lock
  }

  /** Lets others write the folder; again does nothing. */
  release(): void {
    for (const descriptor of this.#descriptors.splice(0)) closeSync(descriptor)
  }

  #isHeld(): boolean {
    const [file, folder] = this.#descriptors as [number, number]
    return loadTorch().lockFile(file) && loadTorch().lockFile(folder)
  }
}

function inUse(directory: string, pid: string): LocalformerError {
  return new LocalformerError(
    'ERR_BUSY',
    `The run folder ${directory} is being written by process ${pid}`,
    { hint: 'Wait until that one is over, or name another folder with --run-dir.' },
  )
}

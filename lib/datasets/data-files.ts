// The files of a data set's folder: which are there, how large they are, their bytes and lines. What
// is wrong is told with the file's path and the command that mends it.
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { readBytes } from '../base/files.js'
import { formatBytes } from '../base/format.js'
import { type Memory, readMemory } from '../base/machine-memory.js'

/** Of a file that only names classes. */
export const MAX_NAMES_BYTES = 64 * 1024

export class DataFiles {
  /** For people: `CIFAR-10`. */
  readonly title: string
  readonly directory: string
  readonly #hint: string

  /** `dataset` is the name that the command line takes. */
  constructor(dataset: string, title: string, directory: string) {
    this.title = title
    this.directory = directory
    this.#hint =
      `Run \`npx localformer dataset fetch ${dataset}\`, or name a folder that has the files with ` +
      '`--data-dir`.'
  }

  path(name: string): string {
    return path.join(this.directory, name)
  }

  /** An error that begins with the file's path; `kind` says what the file may be instead. */
  error(name: string, problem: string, details: object = {}, kind = ''): LocalformerError {
    const file = this.path(name)
    return new LocalformerError('ERR_DATASET', `${file}${problem}`, {
      hint: kind === '' ? this.#hint : `${kind} ${this.#hint}`,
      details: { file, ...details },
    })
  }

  /**
   * The size of each file.
   *
   * @throws {LocalformerError} `ERR_DATASET` that lists every missing one.
   */
  async sizes(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const sizes = new Map<string, number>()
    const missing: string[] = []
    for (const name of names) {
      const entry = await stat(this.path(name)).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined
        throw this.#unreadable(name, cause)
      })
      if (entry?.isFile()) sizes.set(name, entry.size)
      else missing.push(name)
    }
    if (missing.length > 0) {
      throw new LocalformerError(
        'ERR_DATASET',
        `${this.title} is not complete in ${this.directory}: missing ${missing.join(', ')}`,
        { hint: this.#hint, details: { directory: this.directory, missing } },
      )
    }
    return sizes
  }

  /**
   * How many records of `recordBytes` a file holds: 1 to `most`, or just `most` where the set has to
   * be `complete`.
   *
   * @throws {LocalformerError} `ERR_DATASET` for another size.
   */
  records(
    name: string,
    bytes: number,
    { recordBytes, most, complete }: { recordBytes: number; most: number; complete: boolean },
  ): number {
    const count = bytes / recordBytes
    if (complete ? count === most : Number.isInteger(count) && count >= 1 && count <= most) {
      return count
    }
    const wanted = complete
      ? `${most * recordBytes} bytes`
      : `a multiple of ${recordBytes} bytes (a record), at least one and at most ${most}`
    throw this.error(
      name,
      ` has ${bytes} bytes, expected ${wanted}`,
      { bytes },
      `The file is truncated or not of ${this.title}.`,
    )
  }

  /** The bytes of a file that has to have the size that was seen before. */
  async read(name: string, bytes: number): Promise<Uint8Array> {
    checkRoom(this.title, bytes)
    const data = await readBytes(this.path(name)).catch((cause: Error) => {
      throw this.#unreadable(name, cause)
    })
    // A file that changes while it is read must not shift what follows it.
    if (data.length === bytes) return new Uint8Array(data.buffer, data.byteOffset, data.length)
    throw this.error(name, ` changed while it was read: ${bytes} bytes, then ${data.length}`)
  }

  /** The lines of a file with a name in each; `official` ones where a subset comes without it. */
  async names(name: string, official: readonly string[]): Promise<readonly string[]> {
    const entry = await stat(this.path(name)).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return undefined
      throw this.#unreadable(name, cause)
    })
    if (entry === undefined) return official
    if (entry.size > MAX_NAMES_BYTES) {
      throw this.error(name, ` has ${entry.size} bytes, at most ${MAX_NAMES_BYTES} are read`)
    }
    const bytes = await readBytes(this.path(name)).catch((cause: Error) => {
      throw this.#unreadable(name, cause)
    })
    const names = bytes
      .toString()
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
    if (names.length === official.length) return names
    throw this.error(
      name,
      ` names ${names.length} classes, expected ${official.length}, one a line`,
    )
  }

  #unreadable(name: string, cause: Error): LocalformerError {
    const file = this.path(name)
    return new LocalformerError('ERR_DATASET', `Cannot read ${file}: ${cause.message}`, { cause })
  }
}

/**
 * Memory for the images of a split.
 *
 * @throws {LocalformerError} `ERR_DATASET` where there is none.
 */
export function allocateImages(title: string, bytes: number): Uint8Array {
  checkRoom(title, bytes)
  try {
    return new Uint8Array(bytes)
  } catch (cause) {
    throw new LocalformerError(
      'ERR_DATASET',
      `The images of ${title} take ${bytes} bytes, which cannot be had`,
      { cause, details: { bytes } },
    )
  }
}

/**
 * Is there memory for so many bytes of images? Pages come when they are written, and a system that has none left
 * then ends the process.
 *
 * @throws {LocalformerError} `ERR_DATASET` where there is not.
 */
export function checkRoom(title: string, bytes: number, memory: Memory = readMemory()): void {
  // Swap is slow, but what is only slow is not refused.
  const freeBytes = memory.availableBytes + memory.freeSwapBytes
  if (bytes <= freeBytes) return
  throw new LocalformerError(
    'ERR_DATASET',
    `The images of ${title} take ${formatBytes(bytes)} of memory, of which ${formatBytes(freeBytes)} is free`,
    {
      hint: 'All images of a data set are kept in memory as bytes: take fewer or smaller ones, or let a script read its batches itself and call `trainer.step()`.',
      details: { bytes, freeBytes },
    },
  )
}

/**
 * Turns square planes that are stored column by column into rows, in place.
 *
 * @param planes a whole number of planes of `side x side` bytes
 */
export function transposePlanes(planes: Uint8Array, side: number): void {
  const plane = side * side
  for (let start = 0; start < planes.length; start += plane) {
    for (let row = 1; row < side; row++) {
      for (let column = 0; column < row; column++) {
        const here = start + row * side + column
        const there = start + column * side + row
        const kept = planes[here] as number
        planes[here] = planes[there] as number
        planes[there] = kept
      }
    }
  }
}

// A snapshot of memory, ours or PyTorch's -> its events and blocks, checked.
import { describe, LocalformerError } from '../base/errors.js'
import { readBytes } from '../base/files.js'
import { PickleError, type Plain, type PlainObject, readPickle } from '../base/pickle.js'
import { checkFile } from '../base/validate.js'

export interface Frame {
  readonly filename: string
  readonly name: string
  readonly line: number
}

/** Innermost first; shared by all that come from the same place. */
export type Frames = readonly Frame[]

/** An event of a trace, by PyTorch's names; of others than these nothing is needed. */
export interface SnapshotEvent {
  readonly action: string
  readonly address: number
  readonly bytes: number
  /** Microseconds since the epoch; 0 where it is not told. */
  readonly microseconds: number
  readonly frames: Frames
}

/** A block that is in use at the end. */
export interface SnapshotBlock {
  readonly device: number
  readonly address: number
  readonly bytes: number
  readonly frames: Frames
}

export interface Snapshot {
  /** Whose frames they are: module and phase, or files and functions of Python. */
  readonly by: 'localformer' | 'pytorch'
  /** Does the trace begin where recording began? Null where that is not told. */
  readonly isComplete: boolean | null
  readonly blocks: readonly SnapshotBlock[]
  /** One for each device. */
  readonly traces: readonly (readonly SnapshotEvent[])[]
}

/** @throws {LocalformerError} `ERR_CONFIG` for what is no snapshot of memory. */
export async function readSnapshot(file: string): Promise<Snapshot> {
  checkFile(file, 'file')
  let bytes: Uint8Array
  try {
    bytes = await readBytes(file)
  } catch (cause) {
    throw refused(file, (cause as Error).message, cause)
  }
  try {
    return new Checker(bytes.length).snapshot(readPickle(bytes))
  } catch (cause) {
    if (cause instanceof PickleError || cause instanceof ShapeError) {
      throw refused(file, cause.message, cause)
    }
    throw cause
  }
}

function refused(file: string, reason: string, cause: unknown): LocalformerError {
  return new LocalformerError(
    'ERR_CONFIG',
    `${describe(file)} is no memory snapshot that can be read: ${reason}`,
    {
      hint: 'They are written by --memory-snapshot, and by torch.cuda.memory._dump_snapshot.',
      cause,
    },
  )
}

class ShapeError extends Error {}

/** A value is told by where it stands: `segments.3.blocks`. */
class Checker {
  readonly #frames = new Map<Plain, Frames>()
  /** In a file each of them takes bytes, unless one is named many times over. */
  #entriesLeft: number

  constructor(fileBytes: number) {
    this.#entriesLeft = fileBytes
  }

  snapshot(value: Plain): Snapshot {
    const document = object(value, 'it')
    const own = document.localformer
    const blocks = this.#list(document.segments, 'segments').flatMap((segment, k) =>
      this.#blocks(object(segment, `segments.${k}`), `segments.${k}`),
    )
    const traces = this.#list(document.device_traces ?? [], 'device_traces').map((trace, device) =>
      this.#list(trace, `device_traces.${device}`).map((event, k) =>
        this.#event(object(event, 'event'), `device_traces.${device}.${k}`),
      ),
    )
    const isComplete = own === undefined ? null : object(own, 'localformer').is_complete === true
    return { by: own === undefined ? 'pytorch' : 'localformer', isComplete, blocks, traces }
  }

  #blocks(segment: PlainObject, where: string): SnapshotBlock[] {
    const device = number(segment.device ?? 0, `${where}.device`)
    let next = number(segment.address, `${where}.address`)
    return this.#list(segment.blocks, `${where}.blocks`).flatMap((entry, k) => {
      const place = `${where}.blocks.${k}`
      const block = object(entry, place)
      const address = number(block.address ?? next, `${place}.address`)
      const size = number(block.size, `${place}.size`)
      next = address + size
      if (typeof block.state !== 'string') throw new ShapeError(`${place}.state is no word`)
      if (block.state === 'inactive') return []
      const bytes = number(block.requested_size ?? size, `${place}.requested_size`)
      return [{ device, address, bytes, frames: this.#framesOf(block.frames, place) }]
    })
  }

  #event(event: PlainObject, where: string): SnapshotEvent {
    const { action } = event
    if (typeof action !== 'string') throw new ShapeError(`${where}.action is no word`)
    return {
      action,
      address: number(event.addr ?? event.device_free ?? 0, `${where}.addr`),
      bytes: number(event.size ?? 0, `${where}.size`),
      microseconds: number(event.time_us ?? 0, `${where}.time_us`),
      frames: this.#framesOf(event.frames, where),
    }
  }

  #framesOf(value: Plain | undefined, where: string): Frames {
    if (value === undefined || value === null) return NO_FRAMES
    const known = this.#frames.get(value)
    if (known !== undefined) return known
    const frames = this.#list(value, `${where}.frames`).map((entry) => {
      const { filename, name, line } = object(entry, `${where}.frames`)
      if (typeof filename !== 'string' || typeof name !== 'string') {
        throw new ShapeError(`${where}.frames has one without a name`)
      }
      return { filename, name, line: number(line ?? 0, `${where}.frames`) }
    })
    this.#frames.set(value, frames)
    return frames
  }

  #list(value: Plain | undefined, where: string): readonly Plain[] {
    if (!Array.isArray(value)) throw new ShapeError(`${where} is no list`)
    this.#entriesLeft -= value.length
    if (this.#entriesLeft < 0) throw new ShapeError('it names more than is in it')
    return value
  }
}

const NO_FRAMES: Frames = []

function object(value: Plain | undefined, where: string): PlainObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new ShapeError(`${where} is no dictionary`)
}

function number(value: Plain | undefined, where: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new ShapeError(`${where} is no number`)
}

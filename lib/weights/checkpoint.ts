// Weights in a file: the safetensors format (8 bytes of header length, JSON header, raw little-endian
// data; github.com/huggingface/safetensors, "Format"). Written as float32, whole or not at all; every
// usual float type is read as float32, and integers, which no weight is, are named and left out.
import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { expected, LocalformerError } from '../base/errors.js'
import { openFile } from '../base/files.js'
import { checkFile, isArrayOf, readArgument } from '../base/validate.js'
import type { Tensors } from '../local/swin-transformer.js'
import { sidesOf, tensorsOf } from '../native/tensors.js'
import { isFloatType, toFloat32 } from './dtypes.js'
import {
  type Entry,
  type Header,
  HeaderError,
  METADATA,
  parseHeader,
  type TensorInfo,
} from './safetensors-header.js'

export type { TensorInfo } from './safetensors-header.js'

export interface Checkpoint {
  readonly tensors: Tensors
  /** Texts by name, as the format has it. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What {@link writeCheckpoint} takes. */
export interface CheckpointToWrite extends Checkpoint {
  /** Integers (I64) beside the weights, for readers that want some, like torchvision. */
  readonly integers?: Integers
}

type Integers = Readonly<
  Record<string, { readonly shape: readonly number[]; readonly data: BigInt64Array }>
>

/** A file as it was written. */
export interface WrittenFile {
  readonly bytes: number
  /** In hexadecimal digits. */
  readonly sha256: string
}

/** What {@link readCheckpoint} gives. */
export interface ReadCheckpoint extends Checkpoint {
  /** Tensors of integers or booleans, which are not read: buffers of other packages. */
  readonly skipped: readonly TensorInfo[]
}

const MAX_HEADER_BYTES = 100_000_000 // the format's own bound
/** Smaller tensors are read many at a time: a file may have a million of them. */
const WINDOW_BYTES = 4 * 2 ** 20

/**
 * Writes a checkpoint under a temporary name and renames it, so that a file of this name is whole.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` with the reason, also for what is no tensor or no text;
 *   the file that was there stays. `ERR_CONFIG` for what is the name of no file.
 */
export async function writeCheckpoint(
  file: string,
  checkpoint: CheckpointToWrite,
): Promise<WrittenFile> {
  checkFile(file, 'file')
  const checked = readArgument('checkpoint', () => checkToWrite(checkpoint), 'ERR_CHECKPOINT')
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    const handle = await open(temporary, 'wx')
    let written: WrittenFile
    try {
      written = await writeAll(handle, checked)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
    return written
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {})
    throw failure(`The checkpoint ${file} could not be written`, cause)
  }
}

/** What a reader would take: a file that is written can be read. */
function checkToWrite(checkpoint: CheckpointToWrite): Required<CheckpointToWrite> {
  const refusal = (what: string, name: string, value: unknown) =>
    new LocalformerError('ERR_CHECKPOINT', expected(what, name, value))
  if (typeof checkpoint !== 'object' || checkpoint === null) {
    throw refusal('tensors and metadata', 'checkpoint', checkpoint)
  }
  const tensors = tensorsOf(checkpoint.tensors, 'tensors')
  const metadata = { ...checkpoint.metadata }
  for (const [name, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw refusal('a text', `metadata.${name}`, value)
  }
  const integers: Record<string, Integers[string]> = { ...checkpoint.integers }
  for (const [name, value] of Object.entries(integers)) {
    const { shape, data } = value ?? {}
    const sides = sidesOf(shape)
    if (sides === undefined || !isArrayOf(data, BigInt64Array)) {
      throw refusal('a shape and a BigInt64Array', `integers.${name}`, value)
    }
    integers[name] = { shape: sides, data }
    if (Object.hasOwn(tensors, name)) {
      throw refusal('another name than of a weight', 'integers', name)
    }
  }
  for (const [name, { shape, data }] of Object.entries({ ...integers, ...tensors })) {
    if (name === METADATA) throw refusal('another name for a tensor', 'tensors', name)
    const count = shape.reduce((product, side) => product * side, 1)
    if (count !== data.length) throw refusal(`${count} values`, `${name}.data`, data.length)
  }
  return { tensors, metadata, integers }
}

async function writeAll(
  handle: FileHandle,
  { tensors, metadata, integers }: Required<CheckpointToWrite>,
): Promise<WrittenFile> {
  const header: Record<string, unknown> = { [METADATA]: metadata }
  // Wider types first, so that every tensor begins at a multiple of its type's size.
  const all = Object.entries({ ...integers, ...tensors })
  let offset = 0
  for (const [name, { shape, data }] of all) {
    const end = offset + data.byteLength
    const dtype = data instanceof BigInt64Array ? 'I64' : 'F32'
    header[name] = { dtype, shape, data_offsets: [offset, end] }
    offset = end
  }
  // Padded with spaces, so that the data begins at a multiple of 8.
  const json = JSON.stringify(header)
  const padded = Buffer.from(json + ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  const hash = createHash('sha256')
  const write = async (bytes: Uint8Array) => {
    hash.update(bytes)
    for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten
  }
  await write(Buffer.concat([length, padded]))
  for (const [, { data }] of all) {
    await write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return { bytes: 8 + padded.length + offset, sha256: hash.digest('hex') }
}

/**
 * Reads a checkpoint. F32, F16, BF16 and F64 come as float32; tensors of integers and booleans are
 * not read but named in `skipped`.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` for a file that is missing, truncated or of another
 *   format or data type, or whose tensors overlap or leave bytes over; for a PyTorch pickle (.pth) the
 *   hint says how to convert it. `ERR_CONFIG` for what is the name of no file.
 */
export async function readCheckpoint(file: string): Promise<ReadCheckpoint> {
  return withFile(file, async (handle) => {
    const { entries, inOrder, metadata, dataStart } = await readHeader(handle, file)
    const values = new Map<string, Float32Array>()
    const reader = new DataReader(handle, file, dataStart)
    for (const entry of inOrder) {
      const { name, dtype } = entry
      if (!isFloatType(dtype)) continue
      // Most are in the window: a promise for each of a million would take most of the time.
      const bytes = reader.atHand(entry) ?? (await reader.read(entry))
      values.set(name, toFloat32(dtype, bytes))
    }
    const tensors: [string, Tensors[string]][] = []
    const skipped: TensorInfo[] = []
    for (const { name, dtype, shape } of entries) {
      const data = values.get(name)
      if (data === undefined) skipped.push({ name, dtype, shape })
      else tensors.push([name, { shape, data }])
    }
    return { tensors: Object.fromEntries(tensors), metadata, skipped }
  })
}

/**
 * Names, types and shapes of a checkpoint's tensors, without their values.
 *
 * @throws {LocalformerError} as {@link readCheckpoint}.
 */
export async function listCheckpoint(
  file: string,
): Promise<{ tensors: readonly TensorInfo[]; metadata: Readonly<Record<string, string>> }> {
  return withFile(file, async (handle) => {
    const { entries, metadata } = await readHeader(handle, file)
    return { tensors: entries.map(({ name, dtype, shape }) => ({ name, dtype, shape })), metadata }
  })
}

async function withFile<T>(file: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
  checkFile(file, 'file')
  let handle: FileHandle
  try {
    handle = await openFile(file)
  } catch (cause) {
    throw failure(`The checkpoint ${file} could not be read`, cause)
  }
  try {
    return await work(handle)
  } catch (cause) {
    if (cause instanceof LocalformerError) throw cause
    throw failure(`The checkpoint ${file} could not be read`, cause)
  } finally {
    await handle.close()
  }
}

async function readHeader(
  handle: FileHandle,
  file: string,
): Promise<Header & { dataStart: number }> {
  const info = await handle.stat()
  const length = Buffer.alloc(8)
  const { bytesRead } = await handle.read(length, 0, 8, 0)
  const headerBytes = bytesRead === 8 ? Number(length.readBigUInt64LE()) : 0
  if (headerBytes < 2 || headerBytes > MAX_HEADER_BYTES || 8 + headerBytes > info.size) {
    if (isPickle(length)) throw pickleFailure(file)
    throw failure(`${file} is not a safetensors file, or is truncated (${info.size} bytes)`)
  }
  const json = Buffer.alloc(headerBytes)
  await readFully(handle, file, json, 8)
  const dataStart = 8 + headerBytes
  try {
    return { ...parseHeader(json, info.size - dataStart), dataStart }
  } catch (cause) {
    if (!(cause instanceof HeaderError)) throw cause
    throw new LocalformerError('ERR_CHECKPOINT', `${file}: ${cause.message}`, { cause })
  }
}

/** Reads tensors in the order in which they lie in the file. */
class DataReader {
  readonly #handle: FileHandle
  readonly #file: string
  readonly #dataStart: number
  #window = Buffer.alloc(0)
  #windowAt = 0

  constructor(handle: FileHandle, file: string, dataStart: number) {
    this.#handle = handle
    this.#file = file
    this.#dataStart = dataStart
  }

  /** The bytes of a tensor that was read with others. */
  atHand({ at, bytes }: Entry): ArrayBuffer | undefined {
    const begin = at - this.#windowAt
    if (begin < 0 || begin + bytes > this.#window.length) return undefined
    // A copy of its own, which keeps nothing else alive.
    return new Uint8Array(this.#window.subarray(begin, begin + bytes)).buffer
  }

  async read(entry: Entry): Promise<ArrayBuffer> {
    const place = this.#dataStart + entry.at
    if (entry.bytes >= WINDOW_BYTES) {
      const data = new Uint8Array(entry.bytes)
      await readFully(this.#handle, this.#file, data, place)
      return data.buffer
    }
    const window = Buffer.alloc(WINDOW_BYTES)
    const { bytesRead } = await this.#handle.read(window, 0, WINDOW_BYTES, place)
    this.#window = window.subarray(0, bytesRead)
    this.#windowAt = entry.at
    const found = this.atHand(entry)
    if (found !== undefined) return found
    throw failure(`${this.#file} is truncated: tensor ${entry.name} ends early`)
  }
}

async function readFully(
  handle: FileHandle,
  file: string,
  target: Uint8Array,
  place: number,
): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await handle.read(target, done, target.length - done, place + done)
    if (bytesRead === 0) throw failure(`${file} is truncated: it ends at byte ${place + done}`)
    done += bytesRead
  }
}

// torch.save writes a zip file, before PyTorch 1.6 a bare pickle (protocol 2 or later).
function isPickle(head: Buffer): boolean {
  const isZip = head.subarray(0, 4).toString('latin1') === 'PK\x03\x04'
  return isZip || (head[0] === 0x80 && (head[1] as number) >= 2 && (head[1] as number) <= 5)
}

function pickleFailure(file: string): LocalformerError {
  const target = `${file.replace(/\.(pth|pt|bin|tar)$/, '')}.safetensors`
  return new LocalformerError(
    'ERR_CHECKPOINT',
    `${file} is a PyTorch pickle, which is not read; a safetensors file is`,
    {
      hint:
        'Convert it once, in Python:\nimport torch; from safetensors.torch import save_file\n' +
        `s = torch.load(${JSON.stringify(file)}, map_location="cpu"); ` +
        'save_file({k: v.contiguous().clone() for k, v in s.get("model", s).items()}, ' +
        `${JSON.stringify(target)})`,
    },
  )
}

function failure(message: string, cause?: unknown): LocalformerError {
  const reason = cause instanceof Error ? `: ${cause.message}` : ''
  return new LocalformerError('ERR_CHECKPOINT', message + reason, { cause })
}

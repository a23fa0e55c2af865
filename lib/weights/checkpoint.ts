// Weights in a file: the safetensors format (8 bytes of header length, JSON header, raw little-endian
// data; github.com/huggingface/safetensors, "Format"). Written as float32, whole or not at all; every
// usual float type is read as float32, and integers, which no weight is, are named and left out.
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { LocalformerError } from '../base/errors.js'
import type { Tensors } from '../local/swin-transformer.js'
import { bytesPerValue, FLOAT_BYTES, INTEGER_BYTES, isFloatType, toFloat32 } from './dtypes.js'

export interface Checkpoint {
  readonly tensors: Tensors
  /** Texts by name, as the format has it. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What {@link writeCheckpoint} takes. */
export interface CheckpointToWrite extends Checkpoint {
  /** Integers (I64) beside the weights, for readers that want some, like torchvision. */
  readonly integers?: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly data: BigInt64Array }>
  >
}

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

/** A tensor of a file without its values. */
export interface TensorInfo {
  readonly name: string
  /** As the format spells it: F32, F16, BF16, F64, I64, ... */
  readonly dtype: string
  readonly shape: readonly number[]
}

interface Entry extends TensorInfo {
  /** Of its first byte in the file. */
  readonly at: number
  readonly bytes: number
}

interface Header {
  readonly entries: readonly Entry[]
  readonly metadata: Readonly<Record<string, string>>
}

const MAX_HEADER_BYTES = 100_000_000 // the format's own bound

/**
 * Writes a checkpoint under a temporary name and renames it, so that a file of this name is whole.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` with the reason; the file that was there stays.
 */
export async function writeCheckpoint(
  file: string,
  checkpoint: CheckpointToWrite,
): Promise<WrittenFile> {
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    const handle = await open(temporary, 'wx')
    let written: WrittenFile
    try {
      written = await writeAll(handle, checkpoint)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
    return written
  } catch (cause) {
    await rm(temporary, { force: true })
    throw failure(`The checkpoint ${file} could not be written`, cause)
  }
}

async function writeAll(
  handle: FileHandle,
  { tensors, metadata, integers }: CheckpointToWrite,
): Promise<WrittenFile> {
  const header: Record<string, unknown> = { __metadata__: metadata }
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
 *   format or data type; for a PyTorch pickle (.pth) the hint says how to convert it.
 */
export async function readCheckpoint(file: string): Promise<ReadCheckpoint> {
  return withFile(file, async (handle) => {
    const { entries, metadata } = await readHeader(handle, file)
    const tensors: [string, Tensors[string]][] = []
    const skipped: TensorInfo[] = []
    for (const entry of entries) {
      const { name, dtype, shape } = entry
      if (!isFloatType(dtype)) skipped.push({ name, dtype, shape })
      else {
        const data = toFloat32(dtype, await readBytes(handle, file, entry))
        tensors.push([name, { shape, data }])
      }
    }
    return { tensors: Object.fromEntries(tensors), metadata, skipped }
  })
}

/**
 * Names, types and shapes of a checkpoint's tensors, without their values.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT`, as {@link readCheckpoint}.
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
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_RDONLY)
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

async function readHeader(handle: FileHandle, file: string): Promise<Header> {
  const { size } = await handle.stat()
  const length = Buffer.alloc(8)
  const { bytesRead } = await handle.read(length, 0, 8, 0)
  const headerBytes = bytesRead === 8 ? Number(length.readBigUInt64LE()) : 0
  if (headerBytes < 2 || headerBytes > MAX_HEADER_BYTES || 8 + headerBytes > size) {
    if (isPickle(length)) throw pickleFailure(file)
    throw failure(`${file} is not a safetensors file, or is truncated (${size} bytes)`)
  }
  const json = Buffer.alloc(headerBytes)
  await handle.read(json, 0, headerBytes, 8)
  const { __metadata__: metadata, ...tensors } = parseHeader(json.toString('utf8'), file)
  const entries = Object.entries(tensors).map(([name, entry]) =>
    checkEntry(file, name, entry, 8 + headerBytes, size),
  )
  return { entries, metadata: isObject(metadata) ? (metadata as Record<string, string>) : {} }
}

function parseHeader(json: string, file: string): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(json)
    if (!isObject(header) || Array.isArray(header)) throw new Error('the header is not an object')
    return header
  } catch (cause) {
    throw failure(`${file} has a header that is no safetensors header`, cause)
  }
}

function checkEntry(
  file: string,
  name: string,
  value: unknown,
  dataStart: number,
  size: number,
): Entry {
  const { dtype, shape, data_offsets } = (value ?? {}) as Readonly<Record<string, unknown>>
  const bytesEach = typeof dtype === 'string' ? bytesPerValue(dtype) : undefined
  if (bytesEach === undefined) {
    const [floats, others] = [FLOAT_BYTES, INTEGER_BYTES].map((types) => Object.keys(types))
    throw failure(
      `${file}: tensor ${name} is ${dtype}; read are ${floats?.join(', ')}, ` +
        `and ${others?.join(', ')} are passed over`,
    )
  }
  const [begin, end] = Array.isArray(data_offsets) ? data_offsets : []
  const isShape = Array.isArray(shape) && shape.every((side) => Number.isSafeInteger(side))
  const sides: readonly number[] = isShape ? shape : [Number.NaN]
  const count = sides.reduce((product, side) => (side < 0 ? Number.NaN : product * side), 1)
  const fits =
    Number.isSafeInteger(begin) &&
    Number.isSafeInteger(end) &&
    Number.isSafeInteger(count) &&
    begin >= 0 &&
    end - begin === count * bytesEach
  if (!fits) throw failure(`${file}: tensor ${name} has offsets that do not fit its shape`)
  if (dataStart + end > size) {
    throw failure(`${file} is truncated: tensor ${name} ends at byte ${dataStart + end} of ${size}`)
  }
  return { name, dtype: dtype as string, shape: sides, at: dataStart + begin, bytes: end - begin }
}

async function readBytes(
  handle: FileHandle,
  file: string,
  { name, at, bytes }: Entry,
): Promise<ArrayBuffer> {
  const data = new Uint8Array(bytes)
  for (let done = 0; done < bytes; ) {
    const { bytesRead } = await handle.read(data, done, bytes - done, at + done)
    if (bytesRead === 0) throw failure(`${file} is truncated: tensor ${name} ends early`)
    done += bytesRead
  }
  return data.buffer
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function failure(message: string, cause?: unknown): LocalformerError {
  const reason = cause instanceof Error ? `: ${cause.message}` : ''
  return new LocalformerError('ERR_CHECKPOINT', message + reason, { cause })
}

// Weights in a file: the safetensors format (8 bytes of header length, JSON header, raw little-endian
// data; github.com/huggingface/safetensors, "Format"), float32 only, written whole or not at all.
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { LocalformerError } from './errors.js'
import type { Tensors } from './swin-transformer.js'

export interface Checkpoint {
  readonly tensors: Tensors
  /** Texts by name, as the format has it. */
  readonly metadata: Readonly<Record<string, string>>
}

interface HeaderEntry {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data_offsets: readonly [number, number]
}

const MAX_HEADER_BYTES = 100_000_000 // the format's own bound

/**
 * Writes a checkpoint under a temporary name and renames it, so that a file of this name is whole.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` with the reason; the file that was there stays.
 */
export async function writeCheckpoint(file: string, checkpoint: Checkpoint): Promise<void> {
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    const handle = await open(temporary, 'wx')
    try {
      await writeAll(handle, checkpoint)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw failure(`The checkpoint ${file} could not be written`, cause)
  }
}

async function writeAll(handle: FileHandle, { tensors, metadata }: Checkpoint): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: metadata }
  let offset = 0
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    const end = offset + data.byteLength
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] }
    offset = end
  }
  // Padded with spaces, so that the data begins at a multiple of 8.
  const json = JSON.stringify(header)
  const padded = Buffer.from(json + ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  await handle.write(Buffer.concat([length, padded]))
  for (const { data } of Object.values(tensors)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten
  }
}

/**
 * Reads a checkpoint of float32 tensors.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` for a file that is missing, truncated or of another
 *   format or data type.
 */
export async function readCheckpoint(file: string): Promise<Checkpoint> {
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_RDONLY)
  } catch (cause) {
    throw failure(`The checkpoint ${file} could not be read`, cause)
  }
  try {
    const { size } = await handle.stat()
    const header = await readHeader(handle, file, size)
    const { __metadata__, ...entries } = header.entries as Record<string, HeaderEntry> & {
      __metadata__?: Record<string, string>
    }
    const tensors: Record<string, { shape: readonly number[]; data: Float32Array }> = {}
    for (const [name, entry] of Object.entries(entries)) {
      const data = await readTensor(handle, file, name, entry, header.dataStart, size)
      tensors[name] = { shape: entry.shape, data }
    }
    return { tensors, metadata: __metadata__ ?? {} }
  } finally {
    await handle.close()
  }
}

async function readHeader(handle: FileHandle, file: string, size: number) {
  const length = Buffer.alloc(8)
  const { bytesRead } = await handle.read(length, 0, 8, 0)
  const headerBytes = bytesRead === 8 ? Number(length.readBigUInt64LE()) : 0
  if (headerBytes < 2 || headerBytes > MAX_HEADER_BYTES || 8 + headerBytes > size) {
    throw failure(`${file} is not a safetensors file, or is truncated (${size} bytes)`)
  }
  const json = Buffer.alloc(headerBytes)
  await handle.read(json, 0, headerBytes, 8)
  try {
    const entries: unknown = JSON.parse(json.toString('utf8'))
    if (entries === null || typeof entries !== 'object' || Array.isArray(entries)) {
      throw new Error('the header is not an object')
    }
    return { entries, dataStart: 8 + headerBytes }
  } catch (cause) {
    throw failure(`${file} has a header that is no safetensors header`, cause)
  }
}

async function readTensor(
  handle: FileHandle,
  file: string,
  name: string,
  entry: HeaderEntry,
  dataStart: number,
  size: number,
): Promise<Float32Array> {
  if (entry?.dtype !== 'F32') {
    throw failure(`${file}: tensor ${name} is ${entry?.dtype}; only F32 is read`)
  }
  const [begin, end] = entry.data_offsets ?? []
  const dimensions = Array.isArray(entry.shape) ? entry.shape : [Number.NaN]
  const isShape = dimensions.every((size) => Number.isSafeInteger(size) && size >= 0)
  const count = isShape ? dimensions.reduce((a, b) => a * b, 1) : Number.NaN
  const fits =
    Number.isSafeInteger(begin) &&
    Number.isSafeInteger(end) &&
    Number.isSafeInteger(count) &&
    (begin as number) >= 0 &&
    (end as number) - (begin as number) === count * 4
  if (!fits) throw failure(`${file}: tensor ${name} has offsets that do not fit its shape`)
  if (dataStart + (end as number) > size) {
    throw failure(
      `${file} is truncated: tensor ${name} ends at byte ${dataStart + (end as number)} of ${size}`,
    )
  }
  const data = new Float32Array(count)
  const bytes = new Uint8Array(data.buffer)
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await handle.read(
      bytes,
      at,
      bytes.length - at,
      dataStart + (begin as number) + at,
    )
    if (bytesRead === 0) throw failure(`${file} is truncated: tensor ${name} ends early`)
    at += bytesRead
  }
  return data
}

function failure(message: string, cause?: unknown): LocalformerError {
  const reason = cause instanceof Error ? `: ${cause.message}` : ''
  return new LocalformerError('ERR_CHECKPOINT', message + reason, { cause })
}

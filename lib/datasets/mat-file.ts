// Numeric arrays of a MATLAB version 5 file, read as streams: what is in it (`listMat`), then the data
// of one array (`readMatBytes`, `readMatNumbers`). Nothing is executed and nothing nested is entered;
// memory is bounded by the file's size, since deflate cannot expand more than 1,032 times. "MAT-File
// Format", MathWorks, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
import { createReadStream } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import { createInflate } from 'node:zlib'
import { LocalformerError } from '../base/errors.js'
import { openFile } from '../base/files.js'

/** An array of a file, without its data. */
export interface MatVariable {
  readonly name: string
  /** `double`, `uint8`, ..., or the kind of what is not numeric, which cannot be read: `cell`, ... */
  readonly type: string
  /** Column-major: the first dimension is contiguous. Empty for what cannot be read. */
  readonly dimensions: readonly number[]
  /** Product of the dimensions. */
  readonly count: number
  /** Where its data is; null for what cannot be read. */
  readonly data: MatData | null
}

export interface MatData {
  /** Of the element in the file, its tag left out. */
  readonly start: number
  readonly end: number
  readonly isCompressed: boolean
  readonly littleEndian: boolean
  /** Bytes of the (inflated) element before the data. */
  readonly offset: number
  /** Bytes of the data. */
  readonly bytes: number
  /** Bytes of the element after the data: padding. */
  readonly padding: number
  /** How each value is stored, which may be narrower than the array's type. */
  readonly storage: NumberType
}

type NumberType =
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'single'
  | 'double'

const HEADER_BYTES = 128
const TAG_BYTES = 8
/** More are not read: a file of the data sets here has two. */
const MAX_VARIABLES = 1_000
const MAX_DIMENSIONS = 16
const MAX_NAME_BYTES = 1_024
/** The most that deflate can expand: 258 bytes from two bits. */
const MAX_INFLATION = 1_032

const MATRIX = 14
const COMPRESSED = 15
/** Numbers of the element types (miINT8, ...) that hold numbers, and the bytes of one. */
const STORAGE: Readonly<Record<number, readonly [NumberType, number]>> = {
  1: ['int8', 1],
  2: ['uint8', 1],
  3: ['int16', 2],
  4: ['uint16', 2],
  5: ['int32', 4],
  6: ['uint32', 4],
  7: ['single', 4],
  9: ['double', 8],
  12: ['int64', 8],
  13: ['uint64', 8],
}
const INT8 = 1
const INT32 = 5
const UINT32 = 6
const UTF8 = 16
/** Numbers of the array classes (mxDOUBLE_CLASS, ...) that are numeric, and of those that are not. */
const NUMERIC: Readonly<Record<number, NumberType>> = {
  6: 'double',
  7: 'single',
  8: 'int8',
  9: 'uint8',
  10: 'int16',
  11: 'uint16',
  12: 'int32',
  13: 'uint32',
  14: 'int64',
  15: 'uint64',
}
const OTHER: Readonly<Record<number, string>> = {
  1: 'cell',
  2: 'struct',
  3: 'object',
  4: 'char',
  5: 'sparse',
  16: 'function',
  17: 'opaque',
}
const COMPLEX_FLAG = 0x0800

/**
 * The arrays of a file, in its order. Reads the beginning of each.
 *
 * @throws {LocalformerError} `ERR_DATASET` that names the file and what is wrong with it.
 */
export async function listMat(file: string): Promise<readonly MatVariable[]> {
  const handle = await openFile(file).catch((cause: Error) => {
    throw new LocalformerError('ERR_DATASET', `Cannot read ${file}: ${cause.message}`, { cause })
  })
  try {
    return await listElements(file, handle)
  } catch (error) {
    throw asMatError(file, error)
  } finally {
    await handle.close()
  }
}

async function listElements(file: string, handle: FileHandle): Promise<MatVariable[]> {
  const { size } = await handle.stat()
  const littleEndian = readHeader(await readAt(handle, 0, Math.min(size, HEADER_BYTES)))
  const variables: MatVariable[] = []
  for (let place = HEADER_BYTES; place < size; ) {
    if (variables.length === MAX_VARIABLES) throw new Damage(`more than ${MAX_VARIABLES} arrays`)
    if (size - place < TAG_BYTES) throw new Damage(`truncated within the tag at byte ${place}`)
    const { type, bytes, isSmall } = parseTag(await readAt(handle, place, TAG_BYTES), littleEndian)
    const isCompressed = type === COMPRESSED
    if (isSmall || (!isCompressed && type !== MATRIX)) {
      throw new Damage(`an element of type ${type} at byte ${place}, expected an array`)
    }
    const start = place + TAG_BYTES
    const end = start + bytes
    if (end > size) {
      throw new Damage(`truncated: the array at byte ${place} ends at ${end} of ${size} bytes`)
    }
    variables.push(await describeElement(file, { start, end, isCompressed, littleEndian }))
    place = end
  }
  return variables
}

type Element = Pick<MatData, 'start' | 'end' | 'isCompressed' | 'littleEndian'>

/** The byte order; throws for any other file. */
function readHeader(header: Buffer): boolean {
  if (header.length < HEADER_BYTES) {
    throw new Damage(`${header.length} bytes, expected at least ${HEADER_BYTES}`)
  }
  const mark = header.toString('latin1', 126, 128)
  if (mark !== 'IM' && mark !== 'MI') throw new Damage('no MATLAB version 5 file')
  const littleEndian = mark === 'IM'
  const version = littleEndian ? header.readUInt16LE(124) : header.readUInt16BE(124)
  if (version === 0x0100) return littleEndian
  throw new Damage(
    version === 0x0200
      ? 'a MATLAB 7.3 file (HDF5), expected version 5 (`save` with -v7)'
      : `version ${version >> 8}.${version & 255}, expected 1.0 (MATLAB version 5)`,
  )
}

/** A tag of 8 bytes. A small element has its data, at most 4 bytes, in the last 4 of them. */
function parseTag(
  tag: Buffer,
  littleEndian: boolean,
): { type: number; bytes: number; isSmall: boolean } {
  const word = (place: number) => (littleEndian ? tag.readUInt32LE(place) : tag.readUInt32BE(place))
  const first = word(0)
  if (first >>> 16 === 0) return { type: first, bytes: word(4), isSmall: false }
  return { type: first & 0xffff, bytes: first >>> 16, isSmall: true }
}

async function describeElement(file: string, element: Element): Promise<MatVariable> {
  const stream = openElement(file, element)
  try {
    const bytes = element.end - element.start
    if (!element.isCompressed) return await describeMatrix(stream, element, bytes)
    const tag = parseTag(await stream.take(TAG_BYTES), element.littleEndian)
    if (tag.type !== MATRIX || tag.isSmall) {
      throw new Damage(`a compressed element of type ${tag.type}, expected an array`)
    }
    if (tag.bytes > bytes * MAX_INFLATION) {
      throw new Damage(`an array of ${tag.bytes} bytes in ${bytes} compressed ones`)
    }
    return await describeMatrix(stream, element, TAG_BYTES + tag.bytes)
  } finally {
    stream.close()
  }
}

/** Reads the parts of an array up to its data; `end` is where the array ends in the stream. */
async function describeMatrix(
  stream: ByteStream,
  element: Element,
  end: number,
): Promise<MatVariable> {
  const { littleEndian } = element
  const flags = await takePart(stream, littleEndian, end, 'flags', [UINT32], 8, 8)
  const word = littleEndian ? flags.readUInt32LE(0) : flags.readUInt32BE(0)
  const numeric = NUMERIC[word & 255]
  // What is not numeric is known by its class alone, since the parts of some differ.
  if (numeric === undefined) {
    const type = OTHER[word & 255]
    if (type === undefined) throw new Damage(`an array of the unknown class ${word & 255}`)
    return { name: '', type, dimensions: [], count: 0, data: null }
  }
  const sides = await takePart(stream, littleEndian, end, 'dimensions', [INT32], 8, 64)
  const dimensions = parseDimensions(sides, littleEndian)
  const types = [INT8, UTF8]
  const name = await takePart(stream, littleEndian, end, 'name', types, 0, MAX_NAME_BYTES)
  const count = dimensions.reduce((product, side) => product * side, 1)
  const variable = { name: name.toString('utf8'), dimensions, count }
  if (word & COMPLEX_FLAG) return { ...variable, type: `complex ${numeric}`, data: null }
  const data = await describeData(stream, element, end, count)
  return { ...variable, type: numeric, data }
}

function parseDimensions(part: Buffer, littleEndian: boolean): number[] {
  if (part.length % 4 !== 0 || part.length / 4 > MAX_DIMENSIONS) {
    throw new Damage(`dimensions of ${part.length} bytes, expected 2 to ${MAX_DIMENSIONS} numbers`)
  }
  const dimensions: number[] = []
  for (let place = 0; place < part.length; place += 4) {
    const side = littleEndian ? part.readInt32LE(place) : part.readInt32BE(place)
    if (side < 0) throw new Damage(`the dimension ${side}`)
    dimensions.push(side)
  }
  return dimensions
}

async function describeData(
  stream: ByteStream,
  element: Element,
  end: number,
  count: number,
): Promise<MatData> {
  const tag = parseTag(await stream.take(TAG_BYTES), element.littleEndian)
  const [storage, width] = STORAGE[tag.type] ?? []
  if (storage === undefined || width === undefined) {
    throw new Damage(`data of the element type ${tag.type}, expected numbers`)
  }
  if (tag.isSmall && tag.bytes > 4) throw new Damage(`a small element of ${tag.bytes} bytes`)
  // `count` may be beyond exact numbers, but then it is not the size of anything.
  if (tag.bytes !== count * width) {
    throw new Damage(`data of ${tag.bytes} bytes, but the dimensions make ${count} x ${width}`)
  }
  const offset = stream.position - (tag.isSmall ? 4 : 0)
  const padding = end - offset - tag.bytes
  if (padding < 0 || padding > 7) {
    throw new Damage(`data that ends at byte ${offset + tag.bytes} of an array of ${end} bytes`)
  }
  return { ...element, offset, bytes: tag.bytes, padding, storage }
}

/** A part of an array with its padding: of one of `types`, `least` to `most` bytes long. */
async function takePart(
  stream: ByteStream,
  littleEndian: boolean,
  end: number,
  what: string,
  types: readonly number[],
  least: number,
  most: number,
): Promise<Buffer> {
  const head = await stream.take(TAG_BYTES)
  const { type, bytes, isSmall } = parseTag(head, littleEndian)
  if (!types.includes(type)) throw new Damage(`${what} of the element type ${type}`)
  if (bytes < least || bytes > most || (isSmall && bytes > 4)) {
    throw new Damage(`${what} of ${bytes} bytes`)
  }
  if (isSmall) return head.subarray(4, 4 + bytes)
  const padded = Math.ceil(bytes / 8) * 8
  if (stream.position + padded > end) throw new Damage(`${what} beyond the end of their array`)
  return (await stream.take(padded)).subarray(0, bytes)
}

/**
 * The data of an array that is stored as bytes, in the file's (column-major) order.
 *
 * @param target where it goes, `variable.count` bytes; made where it is not given
 * @throws {LocalformerError} `ERR_DATASET` for another array, and damaged data.
 */
export async function readMatBytes(
  file: string,
  variable: MatVariable,
  target?: Uint8Array,
): Promise<Uint8Array> {
  const { data, name, type, count } = variable
  if (data?.storage !== 'uint8') {
    throw matError(file, `${name} is ${data?.storage ?? type}, expected uint8`)
  }
  if (target && target.length !== count) throw new RangeError(`a target of ${target.length} bytes`)
  return readData(file, data, target ?? new Uint8Array(count))
}

/**
 * The values of an array, in the file's (column-major) order. 64-bit whole numbers beyond 2^53 are
 * rounded.
 *
 * @throws {LocalformerError} `ERR_DATASET` for an array that is not numeric, and damaged data.
 */
export async function readMatNumbers(file: string, variable: MatVariable): Promise<Float64Array> {
  const { data, name, type, count } = variable
  if (!data) throw matError(file, `${name} is ${type}, expected numbers`)
  const bytes = await readData(file, data, new Uint8Array(data.bytes))
  const view = new DataView(bytes.buffer)
  const width = data.bytes / count
  const values = new Float64Array(count)
  for (let place = 0; place < count; place++) {
    values[place] = readNumber(view, place * width, data)
  }
  return values
}

function readNumber(view: DataView, place: number, { storage, littleEndian }: MatData): number {
  switch (storage) {
    case 'int8':
      return view.getInt8(place)
    case 'uint8':
      return view.getUint8(place)
    case 'int16':
      return view.getInt16(place, littleEndian)
    case 'uint16':
      return view.getUint16(place, littleEndian)
    case 'int32':
      return view.getInt32(place, littleEndian)
    case 'uint32':
      return view.getUint32(place, littleEndian)
    case 'int64':
      return Number(view.getBigInt64(place, littleEndian))
    case 'uint64':
      return Number(view.getBigUint64(place, littleEndian))
    case 'single':
      return view.getFloat32(place, littleEndian)
    case 'double':
      return view.getFloat64(place, littleEndian)
  }
}

async function readData(file: string, data: MatData, target: Uint8Array): Promise<Uint8Array> {
  const stream = openElement(file, data)
  try {
    await stream.skip(data.offset)
    await stream.fill(target)
    await stream.skip(data.padding)
    // To its end, where zlib compares the sum of what was inflated.
    await stream.end()
    return target
  } catch (error) {
    throw asMatError(file, error)
  } finally {
    stream.close()
  }
}

function openElement(file: string, { start, end, isCompressed }: Element): ByteStream {
  if (end === start) throw new Damage(`an empty element at byte ${start - TAG_BYTES}`)
  const source = createReadStream(file, { start, end: end - 1, highWaterMark: 1 << 18 })
  if (!isCompressed) return new ByteStream(source)
  const inflate = createInflate({ chunkSize: 1 << 18 })
  // What goes wrong in the source reaches whoever reads the inflated bytes.
  pipeline(source, inflate, () => {})
  return new ByteStream(inflate)
}

/** Takes a stream apart into pieces of given sizes. */
class ByteStream {
  /** Bytes taken so far. */
  position = 0
  readonly #stream: NodeJS.ReadableStream & { destroy(): void }
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(stream: NodeJS.ReadableStream & { destroy(): void }) {
    this.#stream = stream
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  }

  /** The next `bytes`, few enough to be copied. */
  async take(bytes: number): Promise<Buffer> {
    const piece = Buffer.alloc(bytes)
    await this.fill(piece)
    return piece
  }

  async fill(target: Uint8Array): Promise<void> {
    await this.#each(target.length, (piece, done) => target.set(piece, done))
  }

  async skip(bytes: number): Promise<void> {
    await this.#each(bytes, () => {})
  }

  /** Makes sure that nothing is left. */
  async end(): Promise<void> {
    if (this.#rest.length > 0 || !(await this.#chunks.next()).done) {
      throw new Damage(`more than ${this.position} bytes in a compressed array`)
    }
  }

  close(): void {
    this.#stream.destroy()
  }

  async #each(bytes: number, use: (piece: Uint8Array, done: number) => void): Promise<void> {
    for (let done = 0; done < bytes; ) {
      if (this.#rest.length === 0) {
        const { value, done: isEnd } = await this.#chunks.next()
        if (isEnd) throw new Damage(`an array that ends after ${this.position} bytes`)
        this.#rest = value
      }
      const piece = this.#rest.subarray(0, bytes - done)
      use(piece, done)
      this.#rest = this.#rest.subarray(piece.length)
      this.position += piece.length
      done += piece.length
    }
  }
}

async function readAt(handle: FileHandle, place: number, bytes: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(bytes), 0, bytes, place)
  if (bytesRead < bytes) throw new Damage(`truncated at byte ${place + bytesRead}`)
  return buffer
}

/** What is wrong with a file, said without its name. */
class Damage extends Error {}

function asMatError(file: string, cause: unknown): unknown {
  if (cause instanceof Damage) return matError(file, cause.message)
  const { message, code = '', syscall } = cause as NodeJS.ErrnoException
  // An error of zlib or of the file system; any other is ours and stays what it is.
  if (!code.startsWith('Z_') && syscall === undefined) return cause
  return matError(file, `cannot be read (${message})`, cause)
}

function matError(file: string, problem: string, cause?: unknown): LocalformerError {
  return new LocalformerError('ERR_DATASET', `${file}: ${problem}`, {
    hint: 'The file is truncated, damaged or of another kind.',
    ...(cause === undefined ? {} : { cause }),
    details: { file },
  })
}

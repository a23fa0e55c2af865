// The header of a safetensors file: JSON of names to types, shapes and places -> entries. What the
// format asks for is checked as the safetensors package does (its `Metadata::validate`), so that a file
// means the same to every reader: tensors cover the data without holes, overlaps or a rest, no name is
// given twice, metadata is text.
import { describe } from '../base/errors.js'
import { MAX_SIDES, sidesOf } from '../native/tensors.js'
import { bytesPerValue, FLOAT_BYTES, INTEGER_BYTES } from './dtypes.js'

/** A tensor of a file without its values. */
export interface TensorInfo {
  readonly name: string
  /** As the format spells it: F32, F16, BF16, F64, I64, ... */
  readonly dtype: string
  readonly shape: readonly number[]
}

export interface Entry extends TensorInfo {
  /** Of its first byte in the data. */
  readonly at: number
  readonly bytes: number
}

export interface Header {
  /** In the order of the header. */
  readonly entries: readonly Entry[]
  /** The same in the order of the data. */
  readonly inOrder: readonly Entry[]
  readonly metadata: Readonly<Record<string, string>>
}

/** What is wrong with a file, said without its name. */
export class HeaderError extends Error {}

/** Of the metadata in the header, which no tensor can have. */
export const METADATA = '__metadata__'

/** No network comes near it; a header of 100 MB holds a million, which take minutes and gigabytes. */
const MAX_TENSORS = 100_000
/** So many tensors have less than half of it: the rest is for texts of the metadata. */
const MOST_OF_MARK = {
  ...{ '{': 2 * MAX_TENSORS, '[': 4 * MAX_TENSORS },
  ...{ '"': 40 * MAX_TENSORS, ',': 40 * MAX_TENSORS },
}
/** UTF-16 units of a name, of a tensor or in the metadata. */
const MAX_NAME = 4096
/** Deeper is no header. */
const MAX_DEPTH = 16

/**
 * @param dataBytes Bytes of the file behind the header.
 * @throws {HeaderError}
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number): Header {
  checkMarks(bytes)
  const text = decode(bytes)
  const { [METADATA]: metadata, ...tensors } = parse(text)
  const all = Object.entries(tensors)
  if (all.length > MAX_TENSORS) {
    throw new HeaderError(`it has ${all.length} tensors, at most ${MAX_TENSORS} are read`)
  }
  for (const name of Object.keys({ ...fieldsOf(metadata), ...tensors })) checkName(name)
  const entries = all.map(([name, value]) => entryOf(name, value))
  const inOrder = [...entries].sort((a, b) => a.at - b.at || a.bytes - b.bytes)
  checkCover(inOrder, dataBytes)
  // What covers the data may still hide an empty tensor, or a type, behind another of that name.
  const twice = repeatedName(text)
  if (twice !== undefined) throw new HeaderError(`the header has ${describe(twice)} twice`)
  return { entries, inOrder, metadata: textsOf(metadata) }
}

/** What a parser would take minutes and gigabytes for is seen in a tenth of a second. */
function checkMarks(bytes: Uint8Array): void {
  const counts = new Uint32Array(256)
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number
    counts[byte] = (counts[byte] as number) + 1
  }
  for (const [mark, most] of Object.entries(MOST_OF_MARK)) {
    const count = counts[mark.charCodeAt(0)] as number
    if (count <= most) continue
    throw new HeaderError(
      `its header has ${count} times ${mark}, at most ${most} are read; of tensors at most ${MAX_TENSORS}`,
    )
  }
}

function checkName(name: string): void {
  if (name.length <= MAX_NAME) return
  const begin = describe(name.slice(0, 40))
  throw new HeaderError(
    `a name that begins ${begin} has ${name.length} characters, at most ${MAX_NAME} are read`,
  )
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new HeaderError('the header is not UTF-8 text')
  }
}

function parse(text: string): Record<string, unknown> {
  let header: unknown
  try {
    header = JSON.parse(text)
  } catch (cause) {
    throw new HeaderError(`the header is no JSON (${(cause as Error).message})`)
  }
  if (isFields(header)) return header
  throw new HeaderError('the header is not an object')
}

function entryOf(name: string, value: unknown): Entry {
  const { dtype, shape, data_offsets: offsets } = fieldsOf(value)
  const bytesEach = typeof dtype === 'string' ? bytesPerValue(dtype) : undefined
  if (bytesEach === undefined) {
    const [floats, others] = [FLOAT_BYTES, INTEGER_BYTES].map((types) => Object.keys(types))
    throw new HeaderError(
      `tensor ${name} is ${typeof dtype === 'string' ? dtype : describe(dtype)}; read are ` +
        `${floats?.join(', ')}, and ${others?.join(', ')} are passed over`,
    )
  }
  const count = countOf(shape)
  const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? offsets : []
  const fits =
    count !== undefined &&
    isWhole(begin) &&
    isWhole(end) &&
    Number.isSafeInteger(count * bytesEach) &&
    end - begin === count * bytesEach
  if (!fits) {
    const isLong = Array.isArray(shape) && shape.length > MAX_SIDES
    const problem = isLong ? `more than ${MAX_SIDES} sides` : 'offsets that do not fit its shape'
    throw new HeaderError(`tensor ${name} has ${problem}`)
  }
  const sides = shape as readonly number[]
  return { name, dtype: dtype as string, shape: sides, at: begin, bytes: end - begin }
}

/** Values of a shape; undefined for no shape, or one beyond exact numbers. */
function countOf(shape: unknown): number | undefined {
  const sides = sidesOf(shape)
  if (sides === undefined) return undefined
  let count = 1
  for (const side of sides) {
    count *= side
    if (!Number.isSafeInteger(count)) return undefined
  }
  return count
}

/** Each begins where the one before it ended, the first at 0 and the last to the end of the file. */
function checkCover(inOrder: readonly Entry[], dataBytes: number): void {
  let end = 0
  let before = 'the header'
  for (const { name, at, bytes } of inOrder) {
    if (at < end) {
      throw new HeaderError(`tensor ${name} begins at byte ${at} of the data, within ${before}`)
    }
    if (at > end) {
      throw new HeaderError(
        `bytes ${end} to ${at} of the data, before ${name}, belong to no tensor`,
      )
    }
    end = at + bytes
    before = `tensor ${name}`
    if (end > dataBytes) {
      throw new HeaderError(
        `it is truncated: tensor ${name} ends at byte ${end} of the data, of which there are ${dataBytes}`,
      )
    }
  }
  if (end === dataBytes) return
  throw new HeaderError(`bytes ${end} to ${dataBytes} of the data, its last, belong to no tensor`)
}

function textsOf(metadata: unknown): Record<string, string> {
  if (metadata === undefined || metadata === null) return {}
  const isText = isFields(metadata) && Object.values(metadata).every((v) => typeof v === 'string')
  if (isText) return metadata as Record<string, string>
  throw new HeaderError('its metadata is not texts by name')
}

/**
 * A name that an object of the JSON has twice, of which `JSON.parse` keeps the last.
 *
 * @param text JSON that was parsed already.
 */
function repeatedName(text: string): string | undefined {
  // Names of the objects around a place; null: it is in a list.
  const around: (Set<string> | null)[] = []
  let isName = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '"') {
      const end = endOfString(text, at)
      const names = around.at(-1)
      if (isName && names) {
        const name = nameOf(text.slice(at, end + 1))
        if (names.has(name)) return name
        names.add(name)
      }
      isName = false
      at = end
    } else if (character === '{' || character === '[') {
      around.push(character === '{' ? new Set() : null)
      if (around.length > MAX_DEPTH) throw new HeaderError('the header is nested too deeply')
      isName = character === '{'
    } else if (character === '}' || character === ']') {
      around.pop()
      isName = false
    } else if (character === ',') isName = around.at(-1) !== null
  }
  return undefined
}

function endOfString(text: string, begin: number): number {
  let end = text.indexOf('"', begin + 1)
  for (; isEscaped(text, end); end = text.indexOf('"', end + 1));
  return end
}

/** Stands an odd number of backslashes before a place? */
function isEscaped(text: string, at: number): boolean {
  let first = at
  while (text[first - 1] === '\\') first--
  return (at - first) % 2 === 1
}

function nameOf(quoted: string): string {
  return quoted.includes('\\') ? JSON.parse(quoted) : quoted.slice(1, -1)
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return isFields(value) ? value : {}
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

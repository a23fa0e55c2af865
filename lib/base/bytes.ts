// Sizes of memory as people write them. in: `4GiB`, `512 MB`, `1.5gb`, plain bytes -> out: bytes
import { expected, LocalformerError } from './errors.js'

const KIB = 2 ** 10

/** Bytes of a unit by its letters in lower case, and how it is written. */
const UNITS: Readonly<Record<string, readonly [string, number]>> = {
  b: ['B', 1],
  kib: ['KiB', KIB],
  kb: ['KB', 1e3],
  mib: ['MiB', KIB ** 2],
  mb: ['MB', 1e6],
  gib: ['GiB', KIB ** 3],
  gb: ['GB', 1e9],
  tib: ['TiB', KIB ** 4],
  tb: ['TB', 1e12],
}

const PATTERN = /^ *(\d{1,16}(?:\.\d{1,9})?) *([a-z]*) *$/i

export interface Size {
  readonly bytes: number
  /** The same for every way of writing it: `12GiB`. */
  readonly text: string
}

/** A number and a unit, with or without space between; without a unit bytes. Undefined for all else. */
export function sizeOf(written: string): Size | undefined {
  const [, amount = '', letters = ''] = PATTERN.exec(written) ?? []
  const [unit, factor] = UNITS[letters.toLowerCase() || 'b'] ?? []
  if (amount === '' || unit === undefined || factor === undefined) return undefined
  const bytes = Math.round(Number(amount) * factor)
  // Half a byte was not meant.
  if (!Number.isSafeInteger(bytes) || (factor === 1 && amount.includes('.'))) return undefined
  return { bytes, text: `${Number(amount)}${unit}` }
}

/**
 * Bytes of a size that is a number or text.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for what is no size, or less than `least` bytes.
 */
export function bytesOf(value: unknown, name: string, least = 0): number {
  const bytes = typeof value === 'string' ? sizeOf(value)?.bytes : value
  if (Number.isSafeInteger(bytes) && (bytes as number) >= least) return bytes as number
  const most = least > 1 ? `, of at least ${least} bytes,` : ''
  throw new LocalformerError('ERR_CONFIG', expected(`a size such as 4GiB${most}`, name, value))
}

/** No step fits less: whoever writes 4 means 4GiB. */
const LEAST_LIMIT = 2 ** 20

/**
 * Bytes of a limit of memory.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for what is no size.
 */
export function bytesOfLimit(value: unknown): number {
  return bytesOf(value, 'memoryLimit', LEAST_LIMIT)
}

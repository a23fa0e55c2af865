// The one error class of the package and its stable codes.

export const ERROR_CODES = [
  'ERR_CONFIG',
  'ERR_USAGE',
  'ERR_LIBTORCH_NOT_FOUND',
  'ERR_LIBTORCH_VERSION',
  'ERR_ADDON_LOAD',
  'ERR_DEVICE_UNAVAILABLE',
  'ERR_OUT_OF_MEMORY',
  'ERR_DISPOSED',
  'ERR_BUSY',
  'ERR_SHAPE',
  'ERR_DATASET',
  'ERR_CHECKSUM',
  'ERR_CHECKPOINT',
  'ERR_NON_FINITE',
  'ERR_DISTRIBUTED',
  'ERR_TORCH',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

export interface LocalformerErrorOptions {
  /** What the reader can do about it, as a sentence. */
  readonly hint?: string
  readonly cause?: unknown
  /** Machine-readable facts, e.g. `requestedBytes` of an `ERR_OUT_OF_MEMORY`. */
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * Every error this package throws on purpose.
 *
 * `message` says what was wrong and with which value, `hint` what to do, `code` is stable across
 * versions. Facts in `details` are also properties of the error (`error.requestedBytes`).
 */
export class LocalformerError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, options: LocalformerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'LocalformerError'
    this.code = code
    this.hint = options.hint
    if (options.details) Object.assign(this, options.details)
  }
}

/** The one phrasing of a wrong input: Expected X for `name` but received Y. */
export function expected(what: string, name: string, received: unknown): string {
  return `Expected ${what} for \`${name}\` but received ${describe(received)}`
}

/** A value as it reads in an error message, cut to a length that fits a terminal line. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return clip(JSON.stringify(value))
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return `${value}`
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return 'a function'
  try {
    return clip(JSON.stringify(value, shorten) ?? typeof value)
  } catch {
    return `an object of type ${typeof value}`
  }
}

/** Of a large array a few values will do: a whole data set may be in an options object. */
function shorten(_key: string, value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${value.byteLength} bytes`
  return Array.isArray(value) && value.length > 80 ? value.slice(0, 80) : value
}

function clip(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`
}

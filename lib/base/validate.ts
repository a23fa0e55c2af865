// One phrasing for every wrong option: Expected X for `name` but received Y. Schemas are zod's, which
// is loaded at the first check, so that importing the package stays cheap.
import { createRequire } from 'node:module'
import type { z } from 'zod'
import { describe, type ErrorCode, expected, LocalformerError } from './errors.js'

const require = createRequire(import.meta.url)

/** zod itself. */
export function zod(): typeof z {
  return (require('zod') as { z: typeof z }).z
}

/** A value that is built at its first use. */
export function lazy<T>(build: () => T): () => T {
  let value: { readonly built: T } | undefined
  return () => {
    value ??= { built: build() }
    return value.built
  }
}

/** The options that have a value: a key that is there without one must not hide a default. */
export function definedOf<T extends object>(
  options: T,
): Partial<{ [K in keyof T]: NonNullable<T[K]> }> {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as Partial<{ [K in keyof T]: NonNullable<T[K]> }>
}

/** Whole number from `min` to `max`. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): z.ZodNumber {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  const error = `a whole number ${range}`
  return zod().number({ error }).int({ error }).min(min, { error }).max(max, { error })
}

/** Finite number from `min` to `max`; `below` instead of `max` leaves the end out. */
export function number(min: number, limits: { max?: number; below?: number } = {}): z.ZodNumber {
  const { max, below } = limits
  const end = max !== undefined ? ` to ${max}` : below !== undefined ? ` to below ${below}` : ''
  const error = end === '' ? `a number of at least ${min}` : `a number from ${min}${end}`
  let schema = zod().number({ error }).min(min, { error })
  if (max !== undefined) schema = schema.max(max, { error })
  if (below !== undefined) schema = schema.lt(below, { error })
  return schema
}

/** Finite number above 0, at most `max`. */
export function positive(max?: number): z.ZodNumber {
  const error = max === undefined ? 'a number above 0' : `a number above 0, at most ${max},`
  const schema = zod().number({ error }).gt(0, { error })
  return max === undefined ? schema : schema.max(max, { error })
}

/** One of some words. */
export function oneOf<const T extends readonly [string, ...string[]]>(words: T) {
  return zod().enum(words, { error: `one of ${words.join(', ')}` })
}

export function boolean(): z.ZodBoolean {
  return zod().boolean({ error: 'true or false' })
}

interface Wrapper {
  readonly def: { readonly type: string; readonly innerType?: z.core.$ZodType }
  readonly description?: string | undefined
}

/** A field without what makes it optional. */
export function unwrap(field: z.core.$ZodType): z.core.$ZodType {
  const { def } = field as unknown as Wrapper
  return def.innerType === undefined ? field : unwrap(def.innerType)
}

/** zod's name of what a field holds: number, boolean, enum, ... */
export function kindOf(field: z.core.$ZodType): string {
  return (unwrap(field) as unknown as Wrapper).def.type
}

/** What is said about a field, or about what it wraps. */
export function helpOf(field: z.core.$ZodType): string {
  const { description, def } = field as unknown as Wrapper
  return description ?? (def.innerType === undefined ? '' : helpOf(def.innerType))
}

/** The words that a field may hold; undefined where it is no list of words. */
export function wordsOf(field: z.core.$ZodType): readonly string[] | undefined {
  return kindOf(field) === 'enum' ? (unwrap(field) as z.ZodEnum).options.map(String) : undefined
}

/**
 * What `read` makes of an argument. One that throws while it is read (a getter, a proxy) is a wrong
 * argument like any other.
 *
 * @throws {LocalformerError} what `read` throws of ours; else `code`, with what was thrown as its cause.
 */
export function readArgument<T>(name: string, read: () => T, code: ErrorCode = 'ERR_CONFIG'): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof LocalformerError) throw cause
    const reason = cause instanceof Error ? cause.message : typeof cause
    throw new LocalformerError(code, `\`${name}\` cannot be read: ${reason}`, { cause })
  }
}

/** `instanceof` of anything: of a proxy whose traps throw it is false. */
export function isA<T>(value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type
  } catch {
    return false
  }
}

/** A typed array of a type; a proxy of one, which the addon cannot read, is none. */
export function isArrayOf<T extends ArrayBufferView>(
  value: unknown,
  type: abstract new (...args: never[]) => T,
): value is T {
  return ArrayBuffer.isView(value) && value instanceof type
}

/** Entries of a list among options: more than any network has parts, or a data set classes. */
const MAX_ENTRIES = 2 ** 18
/** No options hold lists deeper than this. */
const MAX_LEVELS = 6

/**
 * The entries of a list as they are now, holes as undefined. Its length is looked at first: a list of
 * 2^32 - 1 holes takes no memory, and minutes to walk through.
 *
 * @returns Undefined for what is no list, or one of more than `most` entries.
 */
export function entriesOf(value: unknown, most = MAX_ENTRIES): unknown[] | undefined {
  if (!Array.isArray(value)) return undefined
  const { length } = value
  return length > most ? undefined : Array.from({ length }, (_, k) => value[k])
}

/**
 * Looks through options before a schema does, which walks through a list to its end.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for a list of more than 262,144 entries.
 */
export function checkLengths(options: unknown): void {
  const seen = new Set<object>()
  const look = (value: unknown, name: string, level: number): void => {
    if (typeof value !== 'object' || value === null || level > MAX_LEVELS || seen.has(value)) return
    seen.add(value)
    const { length, entries } = contentOf(value)
    if (length > MAX_ENTRIES) {
      const what = `a list of at most ${MAX_ENTRIES} entries`
      throw new LocalformerError('ERR_CONFIG', expected(what, name, `a list of ${length}`))
    }
    for (const [key, entry] of entries) look(entry, key, level + 1)
  }
  look(options, 'options', 0)
}

/** What cannot even be looked at, such as a revoked proxy, is left to the schema, which names it. */
function contentOf(value: object): { length: number; entries: readonly [string, unknown][] } {
  try {
    const length = Array.isArray(value) ? value.length : 0
    const isRead = Array.isArray(value) ? length <= MAX_ENTRIES : isBare(value)
    return { length, entries: isRead ? Object.entries(value) : [] }
  } catch {
    return { length: 0, entries: [] }
  }
}

/** An object of options, and nothing that has a class: of that little is options. */
function isBare(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** @throws {LocalformerError} `ERR_CONFIG` for what can be the name of no file. */
export function checkFile(
  file: unknown,
  name: string,
  what = 'the name of a file',
): asserts file is string {
  if (typeof file === 'string' && file !== '' && !file.includes('\0')) return
  throw new LocalformerError('ERR_CONFIG', expected(what, name, file))
}

/** @throws {LocalformerError} `ERR_CONFIG` for what is there and no function. */
export function checkCallback(value: unknown, name: string): void {
  if (value === undefined || typeof value === 'function') return
  throw new LocalformerError('ERR_CONFIG', expected('a function', name, value))
}

/** @throws {LocalformerError} `ERR_CONFIG` for what is there and no signal. */
export function checkSignal(value: unknown, name = 'signal'): void {
  if (value === undefined || isA(value, AbortSignal)) return
  throw new LocalformerError('ERR_CONFIG', expected('an AbortSignal', name, value))
}

/**
 * The keys of an options object that is read at every step, where a schema would take too long.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for what is no object, and an unknown key.
 */
export function checkKeys(options: unknown, name: string, allowed: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new LocalformerError('ERR_CONFIG', expected('an object', name, options))
  }
  const keys = readArgument(name, () => Object.keys(options))
  const unknown = keys.filter((key) => !allowed.includes(key))
  if (unknown.length === 0) return
  throw new LocalformerError('ERR_CONFIG', `Unknown option ${unknown.map(describe).join(', ')}`, {
    hint: `Allowed are: ${allowed.join(', ')}.`,
  })
}

/** Strict forms of schemas: making one takes a hundred times as long as using it. */
const STRICT = new WeakMap<z.ZodObject, z.ZodObject>()

/**
 * The options with defaults filled in.
 *
 * @param name What they are called in an error, where they stand in other options.
 * @throws {LocalformerError} `ERR_CONFIG` with the first problem; an unknown key is told with the
 *   keys that are allowed.
 */
export function parseOptions<S extends z.ZodRawShape>(
  schema: z.ZodObject<S>,
  options: unknown,
  name?: string,
): z.output<z.ZodObject<S>> {
  return readArgument(name ?? 'options', () => parseReadable(schema, options, name))
}

function parseReadable<S extends z.ZodRawShape>(
  schema: z.ZodObject<S>,
  options: unknown,
  name: string | undefined,
): z.output<z.ZodObject<S>> {
  const strict = STRICT.get(schema) ?? schema.strict()
  STRICT.set(schema, strict)
  checkLengths(options)
  const result = strict.safeParse(options)
  if (result.success) return result.data as z.output<z.ZodObject<S>>
  const issue = result.error.issues[0]
  if (!issue || (issue.path.length === 0 && issue.code !== 'unrecognized_keys')) {
    throw new LocalformerError('ERR_CONFIG', expected('an object', name ?? 'options', options))
  }
  if (issue.code === 'unrecognized_keys') {
    throw new LocalformerError(
      'ERR_CONFIG',
      `Unknown option ${issue.keys.map(describe).join(', ')}`,
      {
        hint: `Allowed are: ${Object.keys(schema.shape).join(', ')}.`,
      },
    )
  }
  const value = issue.path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    options,
  )
  const path = [...(name === undefined ? [] : [name]), ...issue.path].join('.')
  throw new LocalformerError('ERR_CONFIG', expected(issue.message, path, value))
}

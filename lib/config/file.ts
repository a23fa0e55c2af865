// YAML or JSON -> a configuration as it was written, each problem with its line. JSON is read as the
// YAML that it is. What a stranger's file can do is bounded: size, aliases, names.
import { createReadStream } from 'node:fs'
import path from 'node:path'
import type { Readable } from 'node:stream'
import type { Document, Lexer, LineCounter, Pair } from 'yaml'
import { LocalformerError } from '../base/errors.js'
import { checkFile } from '../base/validate.js'
import type { Path, Place } from './problems.js'
import { checkInput } from './resolve.js'
import type { TrainingConfigInput } from './schema.js'

/** No configuration comes near these. */
const MAX_BYTES = 64 * 1024
const MAX_DEPTH = 32
/** Alias nodes that may be resolved, each counted with what it holds. */
const MAX_ALIASES = 100

export interface ConfigFile {
  readonly config: TrainingConfigInput
  /** `FILE:LINE:COLUMN` of a value; undefined where the file does not have it. */
  placeOf(path: Path): Place | undefined
}

/**
 * Reads a configuration from a YAML or JSON file, checked but without defaults: for `resolveConfig`
 * or `createTraining`. Relative paths in it are those of the working directory.
 *
 * @param file A path; `-` is standard input.
 * @throws {LocalformerError} `ERR_CONFIG` where it cannot be read, is no YAML, or holds what is no
 *   configuration: every problem, with line and column.
 */
export async function readConfig(file: string): Promise<TrainingConfigInput> {
  checkFile(file, 'file')
  return (await readConfigFile(file)).config
}

/** The same with where each value stands. */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  const name = file === '-' ? 'standard input' : file
  const text = await readText(file === '-' ? process.stdin : createReadStream(file), name)
  return parseConfig(text, name)
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export async function parseConfig(text: string, name: string): Promise<ConfigFile> {
  const { Lexer, parseDocument, LineCounter: Lines } = await import('yaml')
  const lineCounter = new Lines()
  const fail = (reason: string, cause?: unknown) => unreadable(name, reason, cause)
  if (isDeep(new Lexer(), text)) throw fail('it is nested too deeply')
  let value: unknown
  let document: Document
  try {
    const options = {
      lineCounter,
      prettyErrors: false,
      version: '1.2',
      logLevel: 'error',
    } as const
    document = parseDocument(text, options)
    const [error] = [...document.errors, ...document.warnings]
    if (error) {
      const { line, col } = lineCounter.linePos(error.pos[0])
      throw new LocalformerError('ERR_CONFIG', `${name}:${line}:${col}: ${error.message}`, {
        hint: 'The file is read as YAML 1.2, of which JSON is a part.',
      })
    }
    value = document.toJS({ maxAliasCount: MAX_ALIASES }) ?? {}
  } catch (error) {
    if (error instanceof LocalformerError) throw error
    // Too many aliases.
    throw fail(error instanceof Error ? error.message : String(error), error)
  }
  const placeOf = (at: Path) => placeIn(document, lineCounter, name, at)
  checkInput(value, name, placeOf)
  return { config: value, placeOf }
}

/**
 * The parser works recursively, and where the stack ends inside a regular expression V8 ends the
 * process. So depth is bounded before: of brackets, and of what begins a line.
 */
function isDeep(lexer: Lexer, text: string): boolean {
  if (new RegExp(`^[\\s?-]{${4 * MAX_DEPTH}}`, 'm').test(text)) return true
  let depth = 0
  let isScalar = false
  for (const token of lexer.lex(text)) {
    if (!isScalar && (token === '[' || token === '{')) depth++
    if (!isScalar && (token === ']' || token === '}')) depth--
    if (depth > MAX_DEPTH) return true
    // Stands before each scalar.
    isScalar = token === '\x1f'
  }
  return false
}

function placeIn(
  document: Document,
  lines: LineCounter,
  name: string,
  at: Path,
): Place | undefined {
  if (at.length === 0) return { text: name, order: 0 }
  const offset = offsetOf(document, at)
  if (offset === undefined) return undefined
  const { line, col } = lines.linePos(offset)
  return { text: `${name}:${line}:${col}`, order: offset }
}

/** Where the name of a value stands, or the value where it is part of a list. */
function offsetOf(document: Document, at: Path): number | undefined {
  const key = at.at(-1)
  const parent = at.length === 1 ? document.contents : document.getIn(at.slice(0, -1), true)
  const items = (parent as { items?: readonly unknown[] } | undefined)?.items
  if (typeof key === 'number') return startOf(items?.[key])
  const pair = items?.find((item) => `${(item as Pair<{ value?: unknown }>).key?.value}` === key)
  return startOf((pair as Pair | undefined)?.key)
}

const startOf = (node: unknown) =>
  (node as { range?: readonly [number, number, number] | null } | undefined)?.range?.[0]

async function readText(stream: Readable, name: string): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const part of stream) {
      bytes += (part as Uint8Array).length
      if (bytes > MAX_BYTES) throw unreadable(name, 'it is larger than 64 KiB')
      parts.push(part as Uint8Array)
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts))
  } catch (error) {
    if (error instanceof LocalformerError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    throw unreadable(name, REASONS[code ?? ''] ?? message, error)
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'it may not be read',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8 text',
}

function unreadable(name: string, reason: string, cause?: unknown): LocalformerError {
  const file = name === 'standard input' ? name : path.normalize(name)
  return new LocalformerError('ERR_CONFIG', `The configuration ${file} cannot be read: ${reason}`, {
    cause,
    hint: '`localformer config print` prints one to begin with.',
  })
}

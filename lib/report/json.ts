// What is in a run folder may be of any shape: values are taken as what they should be, or not at all.
import { LocalformerError } from '../base/errors.js'
import { readBytes } from '../base/files.js'

/** A JSON object of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>

/** Undefined where there is no such file, or no JSON in it. */
export async function readJson(file: string): Promise<Json | undefined> {
  try {
    return parse((await readBytes(file)).toString())
  } catch (error) {
    if (isMissing(error)) return undefined
    throw unreadable(file, error)
  }
}

export function parse(line: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Json) : undefined
  } catch {
    // A line that a killed process left half-written.
    return undefined
  }
}

export function unreadable(file: string, cause: unknown): LocalformerError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new LocalformerError('ERR_CONFIG', `${file} cannot be read: ${reason}`, { cause })
}

export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code === 'ENOENT' || code === 'ENOTDIR'
}

export function number(value: unknown, fallback = Number.NaN): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback
}

export function optional(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function object(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {}
}

// Tensors that are handed to the addon, or to a file, checked as far as JavaScript can tell.
import { expected, LocalformerError } from '../base/errors.js'
import { entriesOf, isArrayOf, readArgument } from '../base/validate.js'
import type { NativeTensors } from './contract.js'

/**
 * Tensors by name as they are now, in objects of their own: each value is read once, what an object
 * inherits is no tensor. The data is not copied. Whether they fit the model is told by the core.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT`
 */
export function tensorsOf(values: unknown, name = 'values'): NativeTensors {
  return readArgument(name, () => readTensors(values, name), 'ERR_CHECKPOINT')
}

function readTensors(values: unknown, what: string): NativeTensors {
  const fail = (expectation: string, name: string, received: unknown) =>
    new LocalformerError('ERR_CHECKPOINT', expected(expectation, name, received))
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw fail('tensors by name', what, values)
  }
  const entries = Object.entries(values).map(([name, value]) => {
    if (typeof value !== 'object' || value === null) throw fail('a tensor', name, value)
    const { shape, data } = value as { shape?: unknown; data?: unknown }
    const sides = sidesOf(shape)
    if (sides === undefined) throw fail(`up to ${MAX_SIDES} whole numbers`, `${name}.shape`, shape)
    if (!isArrayOf(data, Float32Array)) throw fail('a Float32Array', `${name}.data`, data)
    return [name, { shape: sides, data }] as const
  })
  return Object.fromEntries(entries)
}

/** LibTorch's operators take no more (at::kVmapNumLevels, the widest dim_list_to_bitset). */
export const MAX_SIDES = 64

/** The sides of a shape; undefined for what is none. */
export function sidesOf(shape: unknown): number[] | undefined {
  const isSide = (side: unknown) => Number.isSafeInteger(side) && (side as number) >= 0
  const sides = entriesOf(shape, MAX_SIDES)
  return sides?.every(isSide) ? (sides as number[]) : undefined
}

// Tensors that are handed to the addon, checked as far as JavaScript can tell.
import { expected, LocalformerError } from '../base/errors.js'
import type { NativeTensors } from './contract.js'

/**
 * Tensors by name, as far as JavaScript can tell; whether they fit the model is told by the core.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT`
 */
export function checkTensors(values: unknown): asserts values is NativeTensors {
  const fail = (what: string, name: string, received: unknown) =>
    new LocalformerError('ERR_CHECKPOINT', expected(what, name, received))
  if (typeof values !== 'object' || values === null) {
    throw fail('tensors by name', 'values', values)
  }
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== 'object' || value === null) throw fail('a tensor', name, value)
    const { shape, data } = value as { shape?: unknown; data?: unknown }
    if (!Array.isArray(shape) || !shape.every((side) => Number.isSafeInteger(side) && side >= 0)) {
      throw fail('whole numbers', `${name}.shape`, shape)
    }
    if (!(data instanceof Float32Array)) throw fail('a Float32Array', `${name}.data`, data)
  }
}

// Options of a step, checked: a schema would take too long at every step.
import { expected, LocalformerError } from '../base/errors.js'

/** @throws {LocalformerError} `ERR_CONFIG` */
export function checkClipNorm(norm: unknown): asserts norm is number | undefined {
  if (norm === undefined || (typeof norm === 'number' && Number.isFinite(norm) && norm > 0)) return
  throw new LocalformerError('ERR_CONFIG', expected('a number above 0', 'clipNorm', norm))
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function checkRate(rate: unknown): asserts rate is number {
  if (typeof rate === 'number' && Number.isFinite(rate) && rate >= 0) return
  throw new LocalformerError('ERR_CONFIG', expected('a number of at least 0', 'learningRate', rate))
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function checkFlag(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value
  throw new LocalformerError('ERR_CONFIG', expected('true or false', name, value))
}

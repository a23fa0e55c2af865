// A trainer's options -> the run spec that makes the same network's modules again.
import { isDeepStrictEqual } from 'node:util'
import {
  type ResolvedLocalOptions,
  type ResolvedOptimization,
  resolveBackpropOptions,
  resolveLocalOptions,
} from './methods.js'
import { SPEC_KEYS } from './run-spec.js'
import type { Method } from './words.js'

/** What is not default for the method; the cuts follow by {@link pinSplit}. */
export function specTextOf(
  method: Method,
  options: ResolvedLocalOptions | ResolvedOptimization,
): string {
  const values = options as Readonly<Record<string, unknown>>
  const defaults = defaultsOf(method, values)
  const pairs = Object.entries(SPEC_KEYS).flatMap(([key, { option }]) => {
    const value = values[option]
    if (value === undefined || isDeepStrictEqual(value, defaults[option])) return []
    return [`,${key}=${written(option, value)}`]
  })
  const modules = method === 'backprop' ? '' : `:${values.modules}`
  return `${method}${modules}${pairs.join('')}`
}

function defaultsOf(
  method: Method,
  { modules, target }: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (method === 'backprop') return { ...resolveBackpropOptions() }
  const own = { method, modules: modules as number }
  const preset = resolveLocalOptions(own)
  // Another target has another decoder and distance.
  const targeted = resolveLocalOptions({ ...own, target: target as typeof preset.target })
  return { ...targeted, target: preset.target }
}

function written(option: string, value: unknown): string {
  if (!Array.isArray(value)) return `${value}`
  return value.join(option === 'split' ? '+' : '..')
}

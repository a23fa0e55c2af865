// A run spec taken apart, changed by parts and put together again: `paper:4,dtype=bfloat16` and
// { method: 'greedy', modules: '2' } -> `greedy:2,dtype=bfloat16`.
import { SPEC_KEYS } from '../local/run-spec.js'

/** `method`, `modules`, and the keys of a run spec, as they are written there. */
export type RunParts = Readonly<Record<string, string>>

/** The parts that a spec names. */
export function runPartsOf(text: string): RunParts {
  const [head = '', ...pairs] = text.split(',')
  const [method = '', modules] = head.split(/:(.*)/s)
  return Object.fromEntries([
    ['method', method],
    ...(modules === undefined ? [] : [['modules', modules]]),
    ...pairs.map((pair) => {
      const [key = '', value = ''] = pair.split(/=(.*)/s)
      return [key, value]
    }),
  ])
}

/**
 * The spec with other parts. Another method keeps the number of modules, the split, the heads,
 * recomputation, accumulation and dtype; target, decoder, distance and weights become its own. A
 * split that decides the number of modules (`blocks`, cuts) does so unless `modules` is given too.
 */
export function changeRun(text: string, parts: RunParts): string {
  if (Object.keys(parts).length === 0) return text
  const base = runPartsOf(text)
  const method = parts.method ?? base.method ?? ''
  const stays = ([key]: [string, string]) => {
    if (method === base.method) return true
    const known = SPEC_KEYS[key]
    // What is left for `backprop`, which has one module and no auxiliary parts.
    return method === 'backprop' ? known?.isShared === true : known?.isOfMethod !== true
  }
  const kept = Object.fromEntries(Object.entries(base).filter(stays))
  if (parts.split !== undefined && !['stages', 'balanced', 'timed'].includes(parts.split))
    delete kept.modules
  const { modules, method: _, ...keys } = { ...kept, ...parts }
  const pairs = Object.entries(keys).map(([key, value]) => `,${key}=${value}`)
  return `${method}${modules === undefined ? '' : `:${modules}`}${pairs.join('')}`
}

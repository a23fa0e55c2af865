// What is wrong with a configuration: all of it at once, each problem with its place, what was
// expected, what was received, and for an unknown name the nearest that there is.
import type { z } from 'zod'
import { expected, LocalformerError } from '../base/errors.js'
import { distanceOf } from '../base/nearest.js'
import { checkLengths, readArgument, unwrap } from '../base/validate.js'
import { SPEC_KEYS } from '../local/run-spec.js'

/** Names and places in lists that lead to a value. */
export type Path = readonly (string | number)[]

export interface Problem {
  readonly path: Path
  readonly message: string
  readonly hint?: string | undefined
}

/** More are no help, and a file may hold any number. */
const MAX_PROBLEMS = 50

/** `modules[1].learningRate` */
export function pathText(path: Path): string {
  return path
    .map((key, depth) => (typeof key === 'number' ? `[${key}]` : depth === 0 ? key : `.${key}`))
    .join('')
}

/** `value` with its defaults; where the schema finds it wrong, undefined and what is. */
export function readWith<S extends z.ZodObject>(
  schema: S,
  value: unknown,
  problems: Problem[],
): z.output<S> | undefined {
  const result = readArgument('configuration', () => {
    checkLengths(value)
    return schema.safeParse(value)
  })
  if (result.success) return result.data
  problems.push(...problemsIn(result.error, schema, value))
  return undefined
}

function problemsIn(error: z.ZodError, schema: z.ZodObject, value: unknown): Problem[] {
  return error.issues.slice(0, MAX_PROBLEMS).flatMap((issue) => {
    const path = issue.path as (string | number)[]
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.slice(0, MAX_PROBLEMS).map((key) => unknownName(schema, [...path, key]))
    }
    const received = path.reduce<unknown>(
      (at, key) => (at as Record<string, unknown>)?.[key],
      value,
    )
    const name = path.length === 0 ? 'configuration' : pathText(path)
    return [{ path, message: expected(issue.message, name, received) }]
  })
}

/** What `work` gives; where it refuses, that is a problem with what stands at `path`. */
export function attempt<T>(problems: Problem[], path: Path, work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof LocalformerError)) throw error
    problems.push({ path, message: error.message, hint: error.hint })
    return undefined
  }
}

/** Where a value was written. */
export interface Place {
  /** A line of a file, a flag. */
  readonly text: string
  /** Problems are told in this order. */
  readonly order: number
}

export type PlaceOf = (path: Path) => Place | undefined

/**
 * One error for all of them, which are in its `problems` too.
 *
 * @param subject What they are in.
 */
export function configError(
  found: readonly Problem[],
  subject: string,
  placeOf: PlaceOf = () => undefined,
): LocalformerError {
  const placed = found
    .map((problem) => ({ ...problem, place: placeOf(problem.path) }))
    .sort((a, b) => (a.place?.order ?? 0) - (b.place?.order ?? 0))
  const lines = placed.map(({ message, place }) => (place ? `${place.text}: ${message}` : message))
  const problems = placed.map(({ path, message, hint, place }) => ({
    path: pathText(path),
    message,
    hint: hint ?? null,
    place: place?.text ?? null,
  }))
  const [first] = placed
  if (first && placed.length === 1) {
    const hint = first.hint === undefined ? {} : { hint: first.hint }
    return new LocalformerError('ERR_CONFIG', lines[0] ?? '', { details: { problems }, ...hint })
  }
  const list = placed.map(
    ({ hint }, k) => `\n  ${lines[k]}${hint === undefined ? '' : ` (${hint})`}`,
  )
  return new LocalformerError(
    'ERR_CONFIG',
    `${placed.length} problems in ${subject}:${list.join('')}`,
    { details: { problems } },
  )
}

function unknownName(schema: z.ZodObject, path: readonly (string | number)[]): Problem {
  const key = `${path.at(-1)}`
  const message = `Unknown name \`${pathText(path)}\``
  const isRoot = path.length === 1
  if (isRoot && (key === 'method' || Object.hasOwn(SPEC_KEYS, key))) {
    return { path, message, hint: 'It is a part of `run`, METHOD[:K][,key=value...].' }
  }
  const names = namesOf(schema)
  const here = pathText(path.slice(0, -1)).replace(/\[\d+\]/g, '[]')
  const near = nearest(key, here, names)
  if (near !== undefined) return { path, message, hint: `Did you mean \`${near}\`?` }
  const siblings = names.filter(({ parent }) => parent === here).map(({ name }) => name)
  return { path, message, hint: `There are ${siblings.join(', ')}.` }
}

interface Name {
  readonly parent: string
  readonly name: string
}

/** Every name in a schema, with where it stands; `modules[]` for what stands in a list. */
function namesOf(schema: z.ZodObject, parent = ''): Name[] {
  return Object.entries(schema.shape).flatMap(([name, field]) => {
    const path = parent === '' ? name : `${parent}.${name}`
    const inner = unwrap(field)
    const element = (inner as z.ZodArray).element
    const [child, place] = element === undefined ? [inner, path] : [unwrap(element), `${path}[]`]
    const below =
      (child as z.ZodObject).shape === undefined ? [] : namesOf(child as z.ZodObject, place)
    return [{ parent, name }, ...below]
  })
}

/** The name that is most like `key`, those beside it first; undefined where none is much like it. */
function nearest(key: string, parent: string, names: readonly Name[]): string | undefined {
  let best: { readonly name: Name; readonly cost: number } | undefined
  for (const name of names) {
    const distance = distanceOf(key, name.name)
    if (distance === undefined) continue
    const cost = distance + (name.parent === parent ? 0 : 0.5)
    if (best === undefined || cost < best.cost) best = { name, cost }
  }
  if (best === undefined) return undefined
  const { name } = best
  return name.parent === parent || name.parent === '' ? name.name : `${name.parent}.${name.name}`
}

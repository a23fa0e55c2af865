// A run spec, `METHOD[:K][,key=value...]`: text in, resolved options out.
import { LocalformerError } from '../base/errors.js'
import { kebabCase } from '../base/format.js'
import { definedOf, kindOf } from '../base/validate.js'
import { type ResolvedLocalOptions, resolveLocalOptions } from './methods.js'
import type { OptionRow } from './option-rows.js'
import { type LocalOptions, OPTION_ROWS, SHARED } from './options.js'
import { describeSplit, MEASURED_SPLITS, modulesOf } from './splits.js'
import { METHODS, type Method } from './words.js'

/** One configuration as a run spec names it: `METHOD[:K][,key=value...]`. */
export interface RunSpec extends Omit<ResolvedLocalOptions, 'method'> {
  /** As it was written. */
  readonly text: string
  readonly method: Method
  /** Number of modules as it was written; undefined where the split decides. */
  readonly asked: number | undefined
  /** The options that it sets itself. */
  readonly given: LocalOptions
}

/** @internal What help says about run specs. */
export const RUN_SPEC_HELP =
  'A run spec, METHOD[:K][,key=value...], e.g. paper:3,split=1+3,decoder=conv'

/** @internal A key of a run spec: what it sets, and for which methods. */
export interface SpecKey extends OptionRow {
  readonly option: string
  /** Name of its flag: one letter is too little for a command line. */
  readonly flag: string
  /** Is there such a choice for `backprop` too? */
  readonly isShared: boolean
}

/** @internal By key. */
export const SPEC_KEYS: Readonly<Record<string, SpecKey>> = Object.fromEntries(
  Object.entries(OPTION_ROWS).flatMap(([option, row]) => {
    const { key } = row
    if (key === undefined) return []
    const flag = key.length === 1 ? kebabCase(option) : key
    return [[key, { ...row, option, flag, isShared: option in SHARED }]]
  }),
)

/** What every method has of a spec: ways to save memory, types and products. */
export function sharedOf(options: object): Partial<Pick<RunSpec, keyof typeof SHARED>> {
  const shared = Object.values(SPEC_KEYS).filter(({ isShared }) => isShared)
  const values = options as Readonly<Record<string, unknown>>
  return definedOf(Object.fromEntries(shared.map(({ option }) => [option, values[option]])))
}

function readValue({ schema, read }: SpecKey, text: string): unknown {
  if (read !== undefined) return read(text)
  return kindOf(schema()) === 'number' ? Number(text) : text
}

/**
 * @throws {LocalformerError} `ERR_CONFIG` that names what is allowed.
 */
export function parseRunSpec(text: string): RunSpec {
  const [head = '', ...pairs] = text.split(',')
  const [method = '', count, ...rest] = head.split(':')
  if (!METHODS.includes(method as Method) || rest.length > 0) {
    throw specError(text, `the method is one of ${METHODS.join(', ')}, then :K, e.g. paper:4`)
  }
  const isBackprop = method === 'backprop'
  const modules = count === undefined ? undefined : Number(count)
  if (modules !== undefined && (!Number.isInteger(modules) || modules < 1)) {
    throw specError(text, `the number of modules K is a whole number of at least 1, not "${count}"`)
  }
  if (isBackprop && (modules ?? 1) !== 1) throw specError(text, 'backprop has one module')
  const allowed = Object.keys(SPEC_KEYS).filter((key) => !isBackprop || SPEC_KEYS[key]?.isShared)
  const given = readPairs(text, pairs, allowed)
  const known = isBackprop ? 1 : modules
  try {
    const resolved = resolveLocalOptions({
      ...given,
      ...(isBackprop ? {} : { method: method as Exclude<Method, 'backprop'> }),
      ...(known === undefined ? {} : { modules: known }),
    })
    return { ...resolved, text, method: method as Method, asked: known, given }
  } catch (error) {
    if (!(error instanceof LocalformerError)) throw error
    throw specError(text, error.message, error.hint)
  }
}

/** Number of modules that a spec makes of a network; `blocks` follows its depths. */
export function modulesOfSpec({ split, modules, asked }: RunSpec, depths: readonly number[]) {
  return asked ?? modulesOf(split, depths) ?? modules
}

/** The spec with its split written out, so that it makes the same modules everywhere. */
export function pinSplit(spec: RunSpec, cuts: readonly string[]): string {
  if (!MEASURED_SPLITS.includes(spec.split)) return spec.text
  // A single module is cut nowhere, which no list of cuts can say.
  const written = cuts.length === 0 ? 'stages' : describeSplit(cuts)
  return spec.text.replace(`split=${spec.split}`, `split=${written}`)
}

function readPairs(
  text: string,
  pairs: readonly string[],
  allowed: readonly string[],
): LocalOptions {
  const options: Record<string, unknown> = {}
  for (const pair of pairs) {
    const [key = '', value = ''] = pair.split(/=(.*)/s)
    const known = allowed.includes(key) ? SPEC_KEYS[key] : undefined
    if (known === undefined) {
      throw specError(text, `unknown key "${key}"; allowed are ${allowed.join(', ')}`)
    }
    if (known.option in options) throw specError(text, `"${key}" is given twice`)
    options[known.option] = readValue(known, value)
  }
  return options as LocalOptions
}

function specError(text: string, problem: string, hint?: string): LocalformerError {
  return new LocalformerError('ERR_CONFIG', `Run spec "${text}": ${problem}`, {
    hint:
      hint ??
      'A run spec reads METHOD[:K][,key=value...], e.g. paper:4,decoder=conv or backprop,recompute=block.',
  })
}

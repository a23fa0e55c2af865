// The schema of a training run -> flags of the command line, and those that were given -> the
// configuration. Precedence: flag, then --config FILE, then --preset, then default.
import type { Options } from 'yargs'
import type { z } from 'zod'
import { LocalformerError } from '../base/errors.js'
import { kebabCase } from '../base/format.js'
import { helpOf, kindOf, unwrap, wordsOf } from '../base/validate.js'
import { type ConfigFile, readConfigFile } from '../config/file.js'
import { PRESET_NAMES, type PresetName } from '../config/preset-names.js'
import type { Path, Place } from '../config/problems.js'
import {
  type Fields,
  type ResolvedConfig,
  resolveConfig,
  resolveLayers,
} from '../config/resolve.js'
import { changeRun, type RunParts, runPartsOf } from '../config/run-parts.js'
import {
  configSchema,
  DEFAULTS,
  type TrainingConfig,
  type TrainingConfigInput,
} from '../config/schema.js'
import { SPEC_KEYS } from '../local/run-spec.js'
import { METHODS } from '../local/words.js'

/** What a handler finds of {@link configOptions}: only what was given has a value. */
export interface ConfigArguments {
  readonly [flag: string]: unknown
  readonly config: string | undefined
  readonly preset: PresetName | undefined
}

interface FlagValues {
  readonly [flag: string]: unknown
}

/** A value of the configuration that a flag sets. */
interface Flag {
  readonly path: readonly string[]
  readonly field: z.core.$ZodType
}

/** Flags that are not called as the name they set. */
const NAMES: Readonly<Record<string, string>> = {
  'dataset.name': 'dataset',
  'optimizer.name': 'optimizer',
}

const GROUPS: Readonly<Record<string, string>> = {
  '': 'Run:',
  dataset: 'Data:',
  model: 'Network:',
  optimizer: 'Optimizer:',
  training: 'Training:',
}

/** Flag by its name, for everything that one word can say. */
export function configFlags(schema: z.ZodObject = configSchema(), parent = ''): Map<string, Flag> {
  const flags = new Map<string, Flag>()
  for (const [name, field] of Object.entries(schema.shape)) {
    const path = parent === '' ? [name] : [parent, name]
    const section = (unwrap(field) as z.ZodObject).shape
    if (section !== undefined) {
      for (const [flag, value] of configFlags(unwrap(field) as z.ZodObject, name)) {
        flags.set(flag, value)
      }
    } else if (name !== 'schema' && name !== 'modules' && name !== 'device') {
      flags.set(NAMES[path.join('.')] ?? kebabCase(name), { path, field })
    }
  }
  return flags
}

/** --config, --preset, a flag for each value, and one for each part of a run spec. */
export function configOptions(): Record<string, Options> {
  const defaults = resolveConfig()
  return {
    config: {
      type: 'string',
      requiresArg: true,
      describe: "YAML or JSON file with a configuration, also a run folder's; -: standard input",
      group: GROUPS[''],
    },
    preset: {
      choices: PRESET_NAMES,
      requiresArg: true,
      describe: 'Recipe to start from; `config print --preset NAME` shows it',
      group: GROUPS[''],
    },
    ...Object.fromEntries(
      [...configFlags()].map(([name, flag]) => [name, optionOf(flag, defaults)]),
    ),
    ...runOptions(),
  }
}

function optionOf({ path, field }: Flag, defaults: TrainingConfig): Options {
  const kind = kindOf(field)
  const value = valueAt(defaults, path)
  const facts = {
    describe: helpOf(field),
    group: GROUPS[path.length > 1 ? (path[0] ?? '') : ''],
    ...(value === undefined ? {} : { defaultDescription: `${value}` }),
  }
  if (kind === 'boolean') return { ...facts, type: 'boolean' }
  const choices = wordsOf(field)
  return {
    ...facts,
    requiresArg: true,
    ...(choices === undefined ? { type: kind === 'number' ? 'number' : 'string' } : { choices }),
  }
}

/** Number of modules and method have no key. */
const flagOfPart = (key: string) => SPEC_KEYS[key]?.flag ?? key

/** What --run says, part by part. */
function runOptions(): Record<string, Options> {
  const group = 'Parts of the run spec, over --run, file and preset:'
  const facts = { group, requiresArg: true } as const
  return {
    method: { ...facts, choices: METHODS, describe: 'How it is trained' },
    modules: { ...facts, type: 'string', describe: 'Number of modules K' },
    ...Object.fromEntries(
      Object.values(SPEC_KEYS).map(({ flag, help, schema }) => {
        const choices = wordsOf(schema())
        const values = choices === undefined ? { type: 'string' as const } : { choices }
        return [flag, { ...facts, describe: help, ...values }]
      }),
    ),
  }
}

/**
 * The whole configuration of a command line.
 *
 * @throws {LocalformerError} `ERR_CONFIG` with every problem and the flag or the line of the file
 *   where it stands; `ERR_USAGE` where --run and a flag for one of its parts contradict each other.
 */
export async function configOf(argv: ConfigArguments): Promise<ResolvedConfig> {
  return configOver(argv.config === undefined ? undefined : await readConfigFile(argv.config), argv)
}

/** The same over a file that is read already. */
export function configOver(file: ConfigFile | undefined, argv: ConfigArguments): ResolvedConfig {
  const given = new Map([...configFlags()].filter(([name]) => argv[camelCase(name)] !== undefined))
  const parts = runPartsOfFlags(argv)
  checkRun(argv.run as string | undefined, parts)
  const preset = argv.preset === undefined ? {} : { preset: argv.preset }
  const layers = [file?.config ?? {}, { ...preset, ...flagValues(argv, given) }]
  const placeOf = (path: Path) => flagAt(path, given, argv, parts) ?? file?.placeOf(path)
  return resolveLayers(layers, placeOf, (merged) => {
    const { run = DEFAULTS.run } = merged
    return { ...merged, run: typeof run === 'string' ? changeRun(run, parts) : run }
  })
}

function flagValues(argv: ConfigArguments, given: ReadonlyMap<string, Flag>): TrainingConfigInput {
  const values: Record<string, unknown> = {}
  for (const [name, { path, field }] of given) {
    const value = read(argv[camelCase(name)], kindOf(field))
    const [first = '', second] = path
    values[first] = second === undefined ? value : { ...(values[first] as Fields), [second]: value }
  }
  return { ...values, ...(argv.givenDevice === undefined ? {} : { device: `${argv.givenDevice}` }) }
}

/** A list is written with commas; where a single value is possible too, one is that value. */
function read(value: unknown, kind: string): unknown {
  if (typeof value !== 'string' || !['union', 'array', 'tuple'].includes(kind)) return value
  const items = value.split(',').map((item) => (isNumber(item) ? Number(item) : item))
  return kind === 'union' && items.length === 1 ? items[0] : items
}

const isNumber = (text: string) => text.trim() !== '' && !Number.isNaN(Number(text))

/** Parts of a run spec that flags set. */
export function runPartsOfFlags(argv: FlagValues): RunParts {
  return Object.fromEntries(
    ['method', 'modules', ...Object.keys(SPEC_KEYS)].flatMap((key) => {
      const value = argv[camelCase(flagOfPart(key))]
      return value === undefined ? [] : [[key, `${value}`]]
    }),
  )
}

function checkRun(run: string | undefined, parts: RunParts): void {
  const said = run === undefined ? {} : runPartsOf(run)
  const key = Object.keys(parts).find((name) => name in said && said[name] !== parts[name])
  if (key === undefined) return
  throw new LocalformerError(
    'ERR_USAGE',
    `\`--run ${run}\` and \`--${flagOfPart(key)} ${parts[key]}\` contradict each other`,
    { hint: `Leave one of them out, or say --run ${changeRun(run ?? '', parts)}.` },
  )
}

function flagAt(
  path: Path,
  given: ReadonlyMap<string, Flag>,
  argv: ConfigArguments,
  parts: RunParts,
): Place | undefined {
  const at = path.join('.')
  const place = (...names: readonly string[]) => ({
    text: names.map((name) => `--${name}`).join(' '),
    order: -1,
  })
  if (at === 'device' && argv.givenDevice !== undefined) return place('device')
  if (at === 'run' && Object.keys(parts).length > 0) {
    return place(...(argv.run === undefined ? [] : ['run']), ...Object.keys(parts).map(flagOfPart))
  }
  for (const [name, flag] of given) {
    const own = flag.path.join('.')
    if (at === own || at.startsWith(`${own}.`)) return place(name)
  }
  return undefined
}

/** The flags of the configuration that were given, but for parts of the run spec, as they are written. */
export function commandLineOf(argv: FlagValues): string[] {
  const names = ['config', 'preset', ...configFlags().keys()]
  return names.flatMap((name) => {
    const value = argv[camelCase(name)]
    if (value === undefined || name === 'run') return []
    if (typeof value === 'boolean') return [value ? `--${name}` : `--no-${name}`]
    const text = `${value}`
    return [`--${name} ${/^[\w.,:/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`}`]
  })
}

/** What stands at a path. */
export function valueAt(config: object, path: readonly string[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Fields | undefined)?.[key], config)
}

const camelCase = (name: string) => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase())

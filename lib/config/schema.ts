// The one schema of a training run. The types, the flags of the command line, the files, the JSON
// Schema and a run folder's config.json follow from it; what `train()`, the network and the
// optimizers take is embedded from where they are, not repeated.

import type { z } from 'zod'
import { helpOf, integer, lazy, number, oneOf, zod } from '../base/validate.js'
import { DATASETS, OWN_DATASET } from '../datasets/open.js'
import { bareFieldsOf, type Field, fieldsOf, type OptionRow } from '../local/option-rows.js'
import { OPTIMIZER, SHARED } from '../local/options.js'
import { RUN_SPEC_HELP, SPEC_KEYS } from '../local/run-spec.js'
import { swinShape } from '../local/swin-transformer.js'
import { METHODS } from '../local/words.js'
import { trainShape } from '../train/options.js'

import { PRESET_NAMES } from './preset-names.js'

/** Where a run's defaults are not those of the library: small images, a usual recipe, less memory. */
export const DEFAULTS = {
  run: 'paper:4',
  recompute: 'selective',
  imageSize: 32,
  dropPath: 0.1,
  labelSmoothing: 0.1,
} as const

const FIELDS = 'a mapping of names to values'

/** What `train()` takes and a file can hold, but for what has its place elsewhere. */
function trainingShape() {
  const { signal: _, state: __, seed, trainLimit, testLimit, ...shape } = trainShape()
  return shape
}

function modelShape() {
  const { classes, device, seed, ...shape } = swinShape()
  return {
    ...shape,
    imageSize: shape.imageSize
      .removeDefault()
      .default(DEFAULTS.imageSize)
      .describe(helpOf(shape.imageSize)),
    dropPath: shape.dropPath
      .removeDefault()
      .default(DEFAULTS.dropPath)
      .describe(helpOf(shape.dropPath)),
  }
}

/** The options with a name in this section, by it. */
type OptimizerSection = {
  [Option in keyof typeof SHARED as (typeof SHARED)[Option] extends {
    readonly config: infer Name extends string
  }
    ? Name
    : never]: Field<(typeof SHARED)[Option]>
}

function optimizerSection() {
  const rows: Readonly<Record<string, OptionRow>> = SHARED
  const fields = Object.entries(fieldsOf(SHARED)).flatMap(([option, field]) => {
    const name = rows[option]?.config
    return name === undefined ? [] : [[name, field]]
  })
  const section = Object.fromEntries(fields) as OptimizerSection
  const { labelSmoothing } = section
  return {
    ...section,
    labelSmoothing: labelSmoothing
      .removeDefault()
      .default(DEFAULTS.labelSmoothing)
      .describe(helpOf(labelSmoothing)),
  }
}

/** Of one module, over what holds for all. */
function moduleShape() {
  const fields = { learningRate: number(0).describe('Highest one'), ...bareFieldsOf(OPTIMIZER) }
  return zod().strictObject(fields, { error: FIELDS }).partial()
}

function datasetShape() {
  const { trainLimit, testLimit } = trainShape()
  const [first = '', ...others] = [...DATASETS.map(({ name }) => name), OWN_DATASET]
  return {
    name: oneOf([first, ...others])
      .default('cifar10')
      .describe('What it is trained on'),
    dataDir: zod()
      .string({ error: 'a folder' })
      .min(1, { error: 'a folder' })
      .optional()
      .describe('Folder with the files, or its parent; default: the cache'),
    ...{ trainLimit, testLimit },
  }
}

// What an editor can tell of a run spec.
const RUN_PATTERN = `^(${METHODS.join('|')})(:[1-9][0-9]*)?(,(${Object.keys(SPEC_KEYS).join('|')})=[^,]+)*$`

const section = <S extends z.core.$ZodShape>(shape: S, help: string) =>
  zod()
    .strictObject(shape, { error: FIELDS })
    .prefault({} as never)
    .describe(help)

const build = lazy(() =>
  zod().strictObject(
    {
      schema: zod()
        .literal(1, { error: '1, the version of this layout,' })
        .default(1)
        .describe('Version of this layout'),
      run: zod()
        .string({ error: 'a run spec, METHOD[:K][,key=value...]' })
        .default(DEFAULTS.run)
        .describe(RUN_SPEC_HELP)
        .meta({ pattern: RUN_PATTERN }),
      device: zod()
        .string({ error: 'cpu, cuda, cuda:N or auto' })
        .regex(/^(cpu|auto|cuda(:\d{1,3})?)$/, { error: 'cpu, cuda, cuda:N or auto' })
        .default('auto')
        .describe('cpu, cuda, cuda:N or auto'),
      threads: integer(1, 4096)
        .optional()
        .describe('Threads of one operation; default: the physical cores it may use'),
      seed: integer(0)
        .default(0)
        .describe('Of weights, order of the images, augmentation and stochastic depth'),
      checkpointEvery: integer(1)
        .optional()
        .describe('Epochs after which a checkpoint stays for good'),
      init: zod()
        .string({ error: 'a safetensors file or a run folder' })
        .min(1, { error: 'a safetensors file or a run folder' })
        .optional()
        .describe('Weights to begin with, a safetensors file or a run folder'),
      dataset: section(datasetShape(), 'The images'),
      model: section(modelShape(), 'The network'),
      optimizer: section(optimizerSection(), 'The optimizer of every module'),
      training: section(trainingShape(), 'The training loop'),
      modules: zod()
        .array(moduleShape().nullable(), {
          error: 'a list with an entry for each module, from the first, or null for none,',
        })
        .optional()
        .describe('Settings of single modules, from the first'),
    },
    { error: FIELDS },
  ),
)

/** Everything that a training run depends on, with every default filled in. */
export type TrainingConfig = z.output<ReturnType<typeof build>>

/** The same as it is written: what is left out has its default. */
export type TrainingConfigInput = z.input<ReturnType<typeof build>> & {
  /** Of {@link PRESETS}: stands below what else is written. */
  readonly preset?: (typeof PRESET_NAMES)[number] | undefined
  /** For editors. */
  readonly $schema?: string | undefined
}

export const configSchema = build

/** What a file may hold. */
export const fileSchema = lazy(() =>
  zod().strictObject(
    {
      $schema: zod().string({ error: 'an address' }).optional().describe('For editors'),
      preset: oneOf(PRESET_NAMES)
        .optional()
        .describe('Recipe that stands below what is written here'),
      ...build().shape,
    },
    { error: FIELDS },
  ),
)

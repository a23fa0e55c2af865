// The configuration that a run folder keeps: it holds in any working directory, a split that was measured
// is not measured again, and what a script made is written as a configuration would say it.
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { LocalformerError } from '../base/errors.js'
import { readBytes } from '../base/files.js'
import { CONFIG_FILE } from '../base/run-files.js'
import { definedOf } from '../base/validate.js'
import type { Training } from '../config/create.js'
import { readConfigFile } from '../config/file.js'
import { checkInput, resolveConfig, resolveLayers } from '../config/resolve.js'
import type { TrainingConfig, TrainingConfigInput } from '../config/schema.js'
import type { Dataset } from '../datasets/dataset.js'
import { OWN_DATASET, sourceOf } from '../datasets/open.js'
import type { ModuleSettings } from '../local/native-trainer.js'
import { OPTIMIZER, OPTION_ROWS, SHARED } from '../local/options.js'
import { pinSplit } from '../local/run-spec.js'
import type { Trainer } from '../local/trainer.js'
import { resolveTrainOptions, type TrainOptions } from '../train/options.js'

/** Of a run that was made from a configuration. */
export function recordedConfig({ config, spec, trainer, data }: Training): TrainingConfig {
  const { init, dataset, ...rest } = config
  return {
    ...rest,
    run: pinSplit(spec, trainer.cuts),
    dataset: { ...dataset, ...placeOfData(data, dataset) },
    ...(init === undefined ? {} : { init: path.resolve(init) }),
  }
}

/** Of a run that was made from a script's own parts. */
export function configOfParts(
  trainer: Trainer,
  data: Dataset,
  options: TrainOptions,
): TrainingConfig {
  const { signal: _, state: __, ...resolved } = resolveTrainOptions(options)
  const { seed, trainLimit, testLimit, ...training } = resolved
  const { classes: ___, seed: ____, ...sizes } = trainer.model.config
  const optimizers = trainer.recipe.modules.map(optimizerOf)
  const isOne = optimizers.every((own) => isDeepStrictEqual(own, optimizers[0]))
  return resolveConfig({
    run: specOf(trainer),
    device: trainer.model.device,
    seed,
    dataset: { ...placeOfData(data), ...definedOf({ trainLimit, testLimit }) },
    model: { ...sizes, depths: [...sizes.depths], heads: [...sizes.heads] },
    optimizer: sectionOf(trainer.recipe.modules[0] ?? {}),
    training: definedOf(training),
    ...(isOne ? {} : { modules: optimizers }),
  } as TrainingConfigInput)
}

/** What a configuration has another default for than a trainer is named. */
function specOf({ spec, recipe }: Trainer): string {
  const { recompute } = SHARED
  const isLeftOut = recipe.modules[0]?.recompute === recompute.default
  return isLeftOut ? `${spec},${recompute.key}=${recompute.default}` : spec
}

/** What a configuration says of one module's optimizer. */
function optimizerOf(options: ModuleSettings): ModuleSettings {
  return Object.fromEntries(Object.keys(OPTIMIZER).map((option) => [option, options[option]]))
}

/** The same of all modules, in its section. */
function sectionOf(options: ModuleSettings): object {
  return Object.fromEntries(
    Object.entries(OPTION_ROWS).flatMap(([option, { config }]) =>
      config === undefined ? [] : [[config, options[option]]],
    ),
  )
}

/** Where the same images are found again: what opened them, else that a script has them. */
function placeOfData(data: Dataset, asked: { name?: string; dataDir?: string | undefined } = {}) {
  const source = sourceOf(data)
  const { name = OWN_DATASET, dataDir = asked.dataDir } = source ?? {}
  return { name, ...(dataDir === undefined ? {} : { dataDir: path.resolve(dataDir) }) }
}

/** What may differ when a run goes on. */
export interface ResumeChanges {
  /** `cpu`, `cuda`, `cuda:N` or `auto`; the last digits may differ then. */
  readonly device?: string | undefined
  /** Threads of one operation; as `device`. */
  readonly threads?: number | undefined
  /** Epochs after which a checkpoint stays for good. */
  readonly checkpointEvery?: number | undefined
  /** Steps between checkpoints inside of an epoch. */
  readonly checkpointSteps?: number | undefined
  /** More than there were: the run is trained further. */
  readonly epochs?: number | undefined
  /** As `epochs`, in steps. */
  readonly maxSteps?: number | undefined
  /** Epochs without a better one after which to stop. */
  readonly patience?: number | undefined
}

/** The configuration of a run with what differs now. */
export function changedConfig(config: TrainingConfig, changes: ResumeChanges): TrainingConfig {
  const { device, threads, checkpointEvery, ...training } = changes
  const change = {
    ...definedOf({ device, threads, checkpointEvery }),
    training: definedOf(training),
  }
  checkInput(change, 'the configuration')
  return resolveLayers([config as TrainingConfigInput, change]).config
}

/**
 * The configuration that a run folder keeps.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` where the folder holds no run.
 */
export async function readRunConfig(folder: string): Promise<TrainingConfig> {
  try {
    await refuseOwnLoop(folder)
    const file = await readConfigFile(path.join(folder, CONFIG_FILE))
    return resolveLayers([file.config], file.placeOf).config
  } catch (cause) {
    if (!(cause instanceof LocalformerError) || cause.code === 'ERR_USAGE') throw cause
    throw new LocalformerError('ERR_CHECKPOINT', `${folder} holds no run: ${cause.message}`, {
      cause,
      hint: 'Name the folder of a run, e.g. runs/paper-4-20260101-120000.',
    })
  }
}

/** Such a run says in its configuration what it is, and no training loop. */
async function refuseOwnLoop(folder: string): Promise<void> {
  const text = `${await readBytes(path.join(folder, CONFIG_FILE)).catch(() => '')}`
  if (!/"loop":\s*"own"/.test(text)) return
  throw new LocalformerError(
    'ERR_USAGE',
    `The run of ${folder} is of a script with a loop of its own`,
    {
      hint: 'Go on with it in the script: resumeRun(directory, { trainer, data }).',
    },
  )
}

/** As the folder keeps it, whatever else its configuration says; undefined: none. */
export async function readCheckpointEvery(folder: string): Promise<number | undefined> {
  const text = `${await readBytes(path.join(folder, CONFIG_FILE)).catch(() => '')}`
  const every = /"checkpointEvery":\s*(\d+)/.exec(text)?.[1]
  return every === undefined ? undefined : Number(every)
}

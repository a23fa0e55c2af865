// A configuration, or a script's own parts -> a run with its folder.

import { rm } from 'node:fs/promises'
import path from 'node:path'
import { expected, LocalformerError } from '../base/errors.js'
import {
  checkFile,
  checkKeys,
  checkSignal,
  definedOf,
  isA,
  readArgument,
} from '../base/validate.js'
import { createTraining } from '../config/create.js'
import { ResolvedConfig, resolveConfig } from '../config/resolve.js'
import type { TrainingConfigInput } from '../config/schema.js'
import { checkDataset, type Dataset } from '../datasets/dataset.js'
import { isInitialized, orAbandon, rank } from '../distributed/group.js'
import type { ParallelOptions } from '../local/parallel.js'
import { Trainer } from '../local/trainer.js'
import type { Logger } from '../loggers/logger.js'
import { checkLoggers } from '../loggers/loggers.js'
import { isHandle } from '../native/handle.js'
import { FollowedFolder } from '../run-folder/followed-folder.js'
import { checkFree, RunFolder } from '../run-folder/run-folder.js'
import type { TrainOptions } from '../train/options.js'
import { checkTraining, train } from '../train/train.js'
import { OwnLoop } from './own-loop.js'
import { Run, type RunParts } from './run.js'
import { configOfParts, recordedConfig } from './run-config.js'

/** Parts of a script's own. */
export interface RunSubjectParts {
  /** Made by `LocalTrainer.create` or `BackpropTrainer.create`; stays the script's. */
  readonly trainer: Trainer
  /** Any data set, of `defineDataset` too. */
  readonly data: Dataset
  /**
   * Of the training loop, as `train` takes them. Without them the loop is the script's own:
   * `run.record(...)` and `run.save()`.
   */
  readonly options?: TrainOptions
}

export interface CreateRunOptions {
  /** Folder of the run; default: `runs/SPEC-TIME`, a new one. */
  readonly directory?: string
  /** Remove the run that is in the folder; default false: it is refused. */
  readonly overwrite?: boolean
  /** Images to train on instead of those that a configuration names. */
  readonly data?: Dataset
  /** Who else hears what happens, beside the files of the folder. */
  readonly loggers?: readonly Logger[]
  /** Epochs after which a checkpoint stays for good, for a script's own parts. */
  readonly checkpointEvery?: number
  /** Stops between two steps, with a checkpoint kept. */
  readonly signal?: AbortSignal
  /**
   * How the ranks of the process group share a run of a configuration, where this process is in one;
   * default: each batch. A script's own trainer is parallelized by the script.
   */
  readonly parallel?: ParallelOptions
}

const KEYS = ['directory', 'overwrite', 'data', 'loggers', 'checkpointEvery', 'signal', 'parallel']

/**
 * Makes a run: everything that `localformer train` does, from a configuration, or from a script's own
 * trainer and images.
 *
 * ```ts
 * await using run = await createRun({ preset: 'quick' }, { directory: 'runs/mine' })
 * console.log(await run.finish())
 *
 * await using own = await createRun({ trainer, data, options: { epochs: 10 } })
 * for await (const event of own.events()) console.log(event)
 * ```
 *
 * In a process group (`distributed.init()`) every rank makes the run, and trains its part of it; rank 0
 * alone has its folder and its loggers.
 *
 * @throws {LocalformerError} `ERR_CONFIG` (a folder that holds another run, too), `ERR_BUSY` where
 *   another process writes it, and what `createTraining` throws.
 */
export async function createRun(
  subject: TrainingConfigInput | ResolvedConfig | RunSubjectParts,
  options: CreateRunOptions = {},
): Promise<Run> {
  // Where a rank fails the others must not wait for it.
  return orAbandon(() => create(subject, options))
}

async function create(
  subject: TrainingConfigInput | ResolvedConfig | RunSubjectParts,
  options: CreateRunOptions,
): Promise<Run> {
  const what = readArgument('what is run', () => {
    checkKeys(subject, 'what is run', Object.keys(subject ?? {}))
    return isA(subject, ResolvedConfig) ? subject : { ...subject }
  })
  const checked = readArgument('options', () => checkOptions(options))
  const given = checked.directory === undefined ? undefined : path.resolve(checked.directory)
  const follows = rank() > 0
  if (given !== undefined && !checked.overwrite && !follows) await checkFree(given)
  const { parts, dispose } = isParts(what)
    ? await partsOfScript(what, checked)
    : await partsOfConfig(what, checked)
  const directory = given ?? (follows ? '' : await newFolder(parts.run))
  try {
    return await open(directory, parts, dispose, checked)
  } catch (error) {
    dispose()
    // It was made for this run, which did not begin.
    if (given === undefined && !follows) await rm(directory, { recursive: true, force: true })
    throw error
  }
}

/** The options as they are now: read once. */
function checkOptions(options: CreateRunOptions): CreateRunOptions {
  checkKeys(options, 'options', KEYS)
  const { directory, overwrite = false, data, loggers = [], signal } = options
  if (directory !== undefined) checkFile(directory, 'directory', 'the name of a folder')
  if (typeof overwrite !== 'boolean') {
    throw new LocalformerError('ERR_CONFIG', expected('true or false', 'overwrite', overwrite))
  }
  if (data !== undefined) checkDataset(data)
  checkLoggers(loggers)
  checkSignal(signal)
  return { ...options }
}

/** What a run is made of, before it has a folder. */
interface Made extends Pick<RunParts, 'trainer' | 'data' | 'config' | 'run' | 'weights'> {
  /** Undefined: the loop is the script's own. */
  readonly training: TrainOptions | undefined
}

async function partsOfConfig(
  written: TrainingConfigInput | ResolvedConfig,
  { data, signal, checkpointEvery, parallel }: CreateRunOptions,
) {
  const training = await createTraining(written, data)
  const { trainer, options, weights } = training
  try {
    if (isInitialized()) await trainer.parallelize(parallel)
    const config = { ...recordedConfig(training), ...definedOf({ checkpointEvery }) }
    const loop = signal === undefined ? options : { ...options, signal }
    checkTraining(trainer, training.data, loop)
    const parts: Made = {
      ...{ trainer, data: training.data, config, run: config.run, weights, training: loop },
    }
    return { parts, dispose: () => training.dispose() }
  } catch (error) {
    training.dispose()
    throw error
  }
}

async function partsOfScript(subject: RunSubjectParts, options: CreateRunOptions) {
  const { trainer, data } = checkParts(subject)
  const { signal, checkpointEvery } = options
  const refuse = (name: string) => {
    throw new LocalformerError('ERR_CONFIG', `\`${name}\` has no effect on such a run`)
  }
  if (options.data !== undefined) refuse('data')
  if (options.parallel !== undefined) refuse('parallel')
  if (signal !== undefined && subject.options === undefined) refuse('signal')
  const training = subject.options && { ...subject.options, ...(signal && { signal }) }
  if (training !== undefined) checkTraining(trainer, data, training)
  const config = resolveConfig({
    ...configOfParts(trainer, data, training ?? {}),
    ...(checkpointEvery === undefined ? {} : { checkpointEvery }),
  } as TrainingConfigInput)
  const parts: Made = { trainer, data, config, run: config.run, weights: null, training }
  return { parts, dispose: () => undefined }
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function checkParts(subject: RunSubjectParts): RunSubjectParts {
  checkKeys(subject, 'what is run', ['trainer', 'data', 'options'])
  const { trainer, data } = subject
  if (!isHandle(trainer, Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a trainer', 'trainer', typeof trainer))
  }
  checkDataset(data)
  return subject
}

async function open(
  directory: string,
  made: Made,
  dispose: () => void,
  { overwrite = false, loggers = [] }: CreateRunOptions,
): Promise<Run> {
  const { trainer, data, training, config, run, weights } = made
  const warnings: string[] = []
  const isOwn = training === undefined
  const kept = isOwn ? { ...config, training: null, loop: 'own' } : config
  const onProblem = (problem: string) => warnings.push(problem)
  const subject = { trainer, data, run, config: kept }
  const folder =
    rank() > 0
      ? new FollowedFolder(directory)
      : await RunFolder.create(directory, subject, overwrite, { loggers, onProblem })
  const events = isOwn ? undefined : train(trainer, data, training)
  const ownLoop = isOwn ? new OwnLoop(trainer, data, undefined) : undefined
  const parts = {
    ...{ folder, config, trainer, data, run, weights, events, ownLoop, summary: null },
    signal: training?.signal,
  }
  return new Run({ ...parts, dispose }, warnings)
}

function isParts(
  subject: TrainingConfigInput | ResolvedConfig | RunSubjectParts,
): subject is RunSubjectParts {
  return 'trainer' in subject
}

/** A folder that no other run has, even one that begins in the same second. */
async function newFolder(run: string): Promise<string> {
  const time = new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')
  const name = path.resolve('runs', `${run.replace(/[^a-z0-9]+/gi, '-').slice(0, 80)}-${time}`)
  for (let count = 1; ; count++) {
    const directory = count === 1 ? name : `${name}-${count}`
    if (await RunFolder.claim(directory)) return directory
  }
}

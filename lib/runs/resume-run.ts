// The folder of a run -> the run, from its last checkpoint.

import path from 'node:path'
import { expected, LocalformerError } from '../base/errors.js'
import { checkFile, checkKeys, checkSignal, definedOf, readArgument } from '../base/validate.js'
import { createTraining } from '../config/create.js'
import type { TrainingConfig } from '../config/schema.js'
import { checkDataset, type Dataset } from '../datasets/dataset.js'
import { isInitialized, orAbandon, rank } from '../distributed/group.js'
import type { ParallelOptions } from '../local/parallel.js'
import type { Trainer } from '../local/trainer.js'
import type { Logger } from '../loggers/logger.js'
import { checkLoggers } from '../loggers/loggers.js'
import type { LoadedState } from '../run-folder/checkpoint-store.js'
import { FollowedFolder } from '../run-folder/followed-folder.js'
import { type Continuation, RunFolder } from '../run-folder/run-folder.js'
import { differencesOf, multipliesAlike, surroundingsOf } from '../run-folder/surroundings.js'
import { checkResumes, scheduleAt } from '../train/course.js'
import type { TrainOptions } from '../train/options.js'
import { checkTraining, train } from '../train/train.js'
import { checkIdentity, restoreState } from '../train/training-state.js'
import { checkParts } from './create-run.js'
import { OwnLoop } from './own-loop.js'
import { Run } from './run.js'
import {
  changedConfig,
  configOfParts,
  type ResumeChanges,
  readCheckpointEvery,
  readRunConfig,
} from './run-config.js'
import { type RunSummary, readRunSummary } from './run-summary.js'

export interface ResumeRunOptions extends ResumeChanges {
  /** The images, where the run was made with a script's own. */
  readonly data?: Dataset
  /** A trainer like the one that the run began with; default: one is made from the run's configuration. */
  readonly trainer?: Trainer
  /** Of the training loop, with a `trainer`; without them the loop is the script's own. */
  readonly options?: TrainOptions
  readonly loggers?: readonly Logger[]
  /** Stops between two steps, with a checkpoint kept. */
  readonly signal?: AbortSignal
  /** As of `createRun`; the run may have had any number of ranks before. */
  readonly parallel?: ParallelOptions
}

const CHANGES = [
  ...(['device', 'threads', 'checkpointEvery', 'checkpointSteps'] as const),
  ...(['epochs', 'maxSteps', 'patience'] as const),
] satisfies readonly (keyof ResumeChanges)[]
const KEYS = ['data', 'trainer', 'options', 'loggers', 'signal', 'parallel', ...CHANGES]

/**
 * Goes on with the run of a folder, bit for bit as if it had not stopped; also after `kill -9`, in the
 * middle of an epoch too. With more `epochs` (or `maxSteps`) than it had, a run is trained further, a
 * finished one too: optimizers and averages go on as they were, and the learning rate is that of the
 * longer run at this step, so after an end at 0 it rises again. That of a finished run without them has
 * no further events, and `finish()` gives what it came to.
 *
 * ```ts
 * await using run = await resumeRun('runs/mine', { epochs: 20 })
 * await run.finish()
 * ```
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` where the folder holds no run or only damaged checkpoints;
 *   `ERR_CONFIG` where trainer, options or images are other ones than the run's; `ERR_BUSY` where
 *   another process writes it; `ERR_USAGE` for a loop of a script's own without its `trainer`. What is
 *   refused leaves the folder as it was.
 */
export async function resumeRun(directory: string, options: ResumeRunOptions = {}): Promise<Run> {
  return orAbandon(() => resume(directory, options))
}

async function resume(directory: string, options: ResumeRunOptions): Promise<Run> {
  checkFile(directory, 'directory', 'the folder of a run')
  checkKeys(options, 'options', KEYS)
  const given = readArgument('options', () => ({ ...options }))
  readArgument('loggers', () => checkLoggers(given.loggers ?? []))
  checkSignal(given.signal)
  if (given.data !== undefined) checkDataset(given.data)
  checkEffect(given)
  const folder = path.resolve(directory)
  return given.trainer === undefined
    ? resumeConfigured(folder, given)
    : resumeParts(folder, { ...given, trainer: given.trainer })
}

async function resumeConfigured(directory: string, options: ResumeRunOptions): Promise<Run> {
  const before = await readRunConfig(directory)
  const changes = Object.fromEntries(CHANGES.map((key) => [key, options[key]])) as ResumeChanges
  const config = changedConfig(before, changes)
  // A checkpoint has the weights that the run began with in it.
  const { init, ...rest } = config
  const isKept = await RunFolder.hasCheckpoint(directory)
  const training = await createTraining(isKept ? rest : config, options.data)
  const { trainer, data, weights } = training
  try {
    if (isInitialized()) await trainer.parallelize(options.parallel)
    const loop = { ...training.options, ...(options.signal && { signal: options.signal }) }
    const parts = { trainer, data, config, run: config.run, weights, loop }
    return await open(directory, parts, options, () => training.dispose())
  } catch (error) {
    training.dispose()
    throw error
  }
}

async function resumeParts(
  directory: string,
  options: ResumeRunOptions & { readonly trainer: Trainer },
): Promise<Run> {
  const { trainer, data, signal, epochs, maxSteps, patience, checkpointSteps } = options
  const { options: own, ...subject } = checkParts({
    ...{ trainer, data: data as Dataset },
    ...(options.options && { options: options.options }),
  })
  const loop = own && {
    ...own,
    ...definedOf({ epochs, maxSteps, patience, checkpointSteps, signal }),
  }
  const checkpointEvery = options.checkpointEvery ?? (await readCheckpointEvery(directory))
  const config = {
    ...configOfParts(trainer, subject.data, loop ?? {}),
    ...definedOf({ checkpointEvery }),
  }
  const parts = { ...subject, config, run: config.run, weights: null, loop }
  return open(directory, parts, options, () => undefined)
}

/** What would be without effect is refused rather than left aside. */
function checkEffect(o: ResumeRunOptions): void {
  const refuse = (name: string, why: string) => {
    throw new LocalformerError('ERR_CONFIG', `\`${name}\` has no effect ${why}`)
  }
  if (o.trainer !== undefined && o.parallel !== undefined) {
    refuse('parallel', 'on a `trainer`, which the script parallelizes')
  }
  if (o.trainer === undefined) {
    if (o.options !== undefined) refuse('options', 'without a `trainer`: name what changes itself')
    return
  }
  for (const name of ['device', 'threads'] as const) {
    if (o[name] !== undefined) refuse(name, 'on a `trainer` that is made already')
  }
  if (o.options !== undefined) return
  for (const name of ['epochs', 'maxSteps', 'patience', 'checkpointSteps', 'signal'] as const) {
    if (o[name] !== undefined) refuse(name, "on a loop of the script's own")
  }
}

interface Parts {
  readonly trainer: Trainer
  readonly data: Dataset
  readonly config: TrainingConfig
  readonly run: string
  readonly weights: Run['weights']
  /** Undefined: the loop is the script's own. */
  readonly loop: TrainOptions | undefined
}

async function open(
  directory: string,
  parts: Parts,
  { loggers = [], patience }: ResumeRunOptions,
  dispose: () => void,
): Promise<Run> {
  const { trainer, data, config, run, loop } = parts
  if (loop !== undefined) checkTraining(trainer, data, loop)
  const warnings: string[] = []
  const onProblem = (problem: string) => warnings.push(problem)
  let over: RunSummary | null = null
  let isLonger = false
  // Everything that is refused is refused before the folder is touched.
  const decide = async (state: LoadedState | undefined): Promise<Continuation> => {
    warnings.push(...warningsOf(state, trainer))
    checkKind(loop, state)
    if (loop !== undefined) checkLength(config, state)
    const summary = await readRunSummary(directory)
    const isMorePatient = summary?.stoppedEarly === true && isOtherPatience(patience, state)
    isLonger = summary !== null && loop !== undefined && (isFurther(config, state) || isMorePatient)
    if (summary !== null && !isLonger) over = summary
    if (over === null && state !== undefined) await checkSame(trainer, data, loop, state)
    if (isLonger && loop !== undefined && summary !== null) {
      warnings.push(furtherText({ trainer, data, loop, summary }))
    }
    const isWritten = over === null && loop !== undefined
    return { isOver: over !== null, wasOver: isLonger, config: isWritten ? config : undefined }
  }
  const subject = { trainer, data, run, config }
  const folder =
    rank() > 0
      ? await FollowedFolder.resume(directory, decide)
      : await RunFolder.resume(directory, subject, { loggers, onProblem }, decide)
  try {
    const state = usedHere(trainer, isLonger ? patientAgain(folder.state) : folder.state)
    const ownLoop = loop === undefined ? new OwnLoop(trainer, data, state?.progress) : undefined
    if (ownLoop !== undefined && state !== undefined) await restoreOwn(trainer, state)
    const events = loop === undefined ? undefined : train(trainer, data, { ...loop, state })
    const { signal } = loop ?? {}
    return new Run({ ...parts, folder, events, ownLoop, signal, summary: over, dispose }, warnings)
  } catch (error) {
    await folder.close()
    throw error
  }
}

/** A longer run is given its patience anew. */
function patientAgain(state: LoadedState | undefined): LoadedState | undefined {
  return state && { ...state, progress: { ...state.progress, epochsSinceBest: 0 } }
}

/** Without choices of products that were made for another processor: this one makes its own. */
function usedHere(trainer: Trainer, state: LoadedState | undefined): LoadedState | undefined {
  if (multipliesAlike(surroundingsOf(trainer), state?.surroundings)) return state
  return state && { ...state, products: null }
}

function isOtherPatience(patience: number | undefined, state: LoadedState | undefined): boolean {
  const since = state?.progress.epochsSinceBest ?? 0
  return patience !== undefined && patience > since
}

/** A training loop, or the script's own: as it was. */
function checkKind(loop: TrainOptions | undefined, state: LoadedState | undefined): void {
  if (state === undefined) return
  const wasOwn = state.progress.identity.training.epochs === undefined
  if (wasOwn === (loop === undefined)) return
  throw new LocalformerError(
    'ERR_CONFIG',
    wasOwn
      ? 'The run had a loop of the script itself'
      : 'The run had a training loop, not one of its own',
    { hint: wasOwn ? 'Leave `options` out.' : 'Give the `options` of the loop, as they were.' },
  )
}

function checkLength({ training }: TrainingConfig, state: LoadedState | undefined): void {
  if (state === undefined) return
  const { epochs = 0, maxSteps, schedule } = state.progress.identity.training
  const isOther = training.epochs !== epochs || training.maxSteps !== maxSteps
  if (schedule === 'sequential' && isOther) {
    throw new LocalformerError('ERR_CONFIG', 'A sequential run cannot become longer', {
      hint: 'Its modules have had their turns: begin a new one with its weights, `init`.',
    })
  }
  const refuse = (name: string, was: number, is: number | undefined) => {
    const message = expected(`at least ${was}, as the run had,`, name, is)
    throw new LocalformerError('ERR_CONFIG', message, {
      hint: 'A run that goes on can become longer, not shorter.',
    })
  }
  if (training.epochs < epochs) refuse('epochs', epochs, training.epochs)
  if (limitOf(training.maxSteps) < limitOf(maxSteps)) {
    refuse('maxSteps', limitOf(maxSteps), training.maxSteps)
  }
}

const limitOf = (maxSteps: number | undefined) => maxSteps ?? Number.POSITIVE_INFINITY

/** Is it to be trained further than it was? */
function isFurther({ training }: TrainingConfig, state: LoadedState | undefined): boolean {
  if (state === undefined) return false
  const { epochs = 0, maxSteps } = state.progress.identity.training
  return training.epochs > epochs || limitOf(training.maxSteps) > limitOf(maxSteps)
}

async function checkSame(
  trainer: Trainer,
  data: Dataset,
  loop: TrainOptions | undefined,
  state: LoadedState,
): Promise<void> {
  if (loop === undefined) {
    const { identity } = state.progress
    return checkIdentity(await new OwnLoop(trainer, data, undefined).identity(), identity)
  }
  freezeAsAtFirst(trainer, state)
  await checkResumes(trainer, data, loop, state)
}

/** What happens to the schedule. */
function furtherText(parts: {
  readonly trainer: Trainer
  readonly data: Dataset
  readonly loop: TrainOptions
  readonly summary: RunSummary
}): string {
  const { steps } = parts.summary
  const { total, rate } = scheduleAt(parts.trainer, parts.data, parts.loop, steps)
  return (
    `The run had come to its end at step ${steps} and is trained further, to step ${total}; the learning ` +
    `rate is that of the longer run, ${rate.toExponential(1)} in the next step`
  )
}

function warningsOf(state: LoadedState | undefined, trainer: Trainer): string[] {
  if (state === undefined) return []
  const { damage, surroundings } = state
  const differing = surroundings ? differencesOf(surroundingsOf(trainer), surroundings) : []
  return [
    ...(damage ? [`${damage.message}; the checkpoint before it is used`] : []),
    ...(differing.length > 0
      ? [`The results may differ in their last digits: ${differing.join(', ')}`]
      : []),
  ]
}

async function restoreOwn(trainer: Trainer, state: LoadedState): Promise<void> {
  await restoreState(trainer, state)
  if (trainer.division !== undefined) await trainer.agreeOnProducts()
  for (const module of trainer.modules) {
    if (state.progress.frozen[module.index]) module.freeze()
  }
}

/** A script may have frozen modules before the run began, which no configuration says. */
function freezeAsAtFirst(trainer: Trainer, { progress }: LoadedState): void {
  const { frozen = [] } = progress.identity.trainer as { frozen?: readonly boolean[] }
  for (const module of trainer.modules) if (frozen[module.index]) module.freeze()
}

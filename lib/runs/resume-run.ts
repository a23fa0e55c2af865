// The folder of a run -> the run, from its last checkpoint.

import path from 'node:path'
import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys } from '../base/validate.js'
import { createTraining } from '../config/create.js'
import type { TrainingConfig } from '../config/schema.js'
import type { Dataset } from '../datasets/dataset.js'
import type { Trainer } from '../local/trainer.js'
import type { Logger } from '../loggers/logger.js'
import { checkLoggers } from '../loggers/loggers.js'
import type { LoadedState } from '../run-folder/checkpoint-store.js'
import { RunFolder } from '../run-folder/run-folder.js'
import { differencesOf, surroundingsOf } from '../run-folder/surroundings.js'
import { scheduleAt } from '../train/course.js'
import type { TrainOptions } from '../train/options.js'
import { checkTraining, train } from '../train/train.js'
import { checkIdentity, restoreState } from '../train/training-state.js'
import { checkParts } from './create-run.js'
import { OwnLoop } from './own-loop.js'
import { Run } from './run.js'
import { changedConfig, configOfParts, type ResumeChanges, readRunConfig } from './run-config.js'
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
}

const CHANGES = [
  ...(['device', 'threads', 'checkpointEvery', 'checkpointSteps'] as const),
  ...(['epochs', 'maxSteps', 'patience'] as const),
] satisfies readonly (keyof ResumeChanges)[]
const KEYS = ['data', 'trainer', 'options', 'loggers', 'signal', ...CHANGES]

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
 *   another process writes it.
 */
export async function resumeRun(directory: string, options: ResumeRunOptions = {}): Promise<Run> {
  checkKeys(options, 'options', KEYS)
  checkLoggers(options.loggers ?? [])
  const folder = path.resolve(directory)
  return options.trainer === undefined
    ? resumeConfigured(folder, options)
    : resumeParts(folder, { ...options, trainer: options.trainer })
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
    const loop = { ...training.options, ...(options.signal && { signal: options.signal }) }
    const parts = { trainer, data, config, run: config.run, weights, loop }
    return await open(directory, parts, before, options, () => training.dispose())
  } catch (error) {
    training.dispose()
    throw error
  }
}

async function resumeParts(
  directory: string,
  options: ResumeRunOptions & { readonly trainer: Trainer },
): Promise<Run> {
  const { trainer, data, signal, epochs, maxSteps, patience, checkpointEvery } = options
  const subject = {
    trainer,
    data: data as Dataset,
    ...(options.options && { options: options.options }),
  }
  checkParts(subject)
  const amounts = Object.fromEntries(
    Object.entries({ epochs, maxSteps, patience, signal }).filter(
      ([, value]) => value !== undefined,
    ),
  )
  const loop = subject.options && { ...subject.options, ...amounts }
  const config = {
    ...configOfParts(trainer, subject.data, loop ?? {}),
    ...(checkpointEvery === undefined ? {} : { checkpointEvery }),
  }
  const parts = { trainer, data: subject.data, config, run: trainer.spec, weights: null, loop }
  return open(directory, parts, undefined, options, () => undefined)
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

/** @param before The configuration so far, where the folder's is taken. */
async function open(
  directory: string,
  parts: Parts,
  before: TrainingConfig | undefined,
  { loggers = [], patience }: ResumeRunOptions,
  dispose: () => void,
): Promise<Run> {
  const { trainer, data, config, run, loop } = parts
  if (loop !== undefined) checkTraining(trainer, data, loop)
  const warnings: string[] = []
  const onProblem = (problem: string) => warnings.push(problem)
  const folder = await RunFolder.resume(
    directory,
    { trainer, data, run, config },
    { loggers, onProblem },
  )
  try {
    const { state } = folder
    warnings.push(...warningsOf(state, trainer))
    checkLength(config, state)
    const summary = await readRunSummary(directory)
    const isLonger =
      summary !== null &&
      (isFurther(config, state) || (summary.stoppedEarly && patience !== undefined))
    if (isLonger && loop !== undefined) warnings.push(furtherText({ trainer, data, loop, summary }))
    if (isLonger || (before !== undefined && config !== before))
      await folder.reopen(config, isLonger)
    const ownLoop = loop === undefined ? new OwnLoop(trainer, data, state?.progress) : undefined
    if (ownLoop !== undefined && state !== undefined) await restoreOwn(ownLoop, trainer, state)
    if (state !== undefined && ownLoop === undefined) freezeAsAtFirst(trainer, state)
    const events = loop === undefined ? undefined : train(trainer, data, { ...loop, state })
    const isOver = summary !== null && !isLonger
    return new Run(
      { ...parts, folder, events, ownLoop, summary: isOver ? summary : null, dispose },
      warnings,
    )
  } catch (error) {
    await folder.close()
    throw error
  }
}

/** Before the folder is told of it. */
function checkLength({ training }: TrainingConfig, state: LoadedState | undefined): void {
  if (state === undefined) return
  const { epochs = 0, maxSteps, schedule } = state.progress.identity.training
  const isOther = training.epochs !== epochs || training.maxSteps !== maxSteps
  if (schedule === 'sequential' && isOther) {
    throw new LocalformerError('ERR_CONFIG', 'A sequential run cannot become longer', {
      hint: 'Its modules have had their turns: begin a new one with its weights, `init`.',
    })
  }
  if (training.epochs >= epochs) return
  throw new LocalformerError(
    'ERR_CONFIG',
    expected(`at least ${epochs}, as the run had,`, 'epochs', training.epochs),
    { hint: 'A run that goes on can become longer, not shorter.' },
  )
}

/** Is it to be trained further than it was? */
function isFurther({ training }: TrainingConfig, state: LoadedState | undefined): boolean {
  if (state === undefined) return false
  const { epochs = 0, maxSteps } = state.progress.identity.training
  const now = training as { epochs: number; maxSteps?: number | undefined }
  const limit = (steps: number | undefined) => steps ?? Number.POSITIVE_INFINITY
  return now.epochs > epochs || limit(now.maxSteps) > limit(maxSteps)
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

async function restoreOwn(loop: OwnLoop, trainer: Trainer, state: LoadedState): Promise<void> {
  checkIdentity(await loop.identity(), state.progress.identity)
  await restoreState(trainer, state)
  for (const module of trainer.modules) {
    if (state.progress.frozen[module.index]) module.freeze()
  }
}

/** A script may have frozen modules before the run began, which no configuration says. */
function freezeAsAtFirst(trainer: Trainer, { progress }: LoadedState): void {
  const { frozen = [] } = progress.identity.trainer as { frozen?: readonly boolean[] }
  for (const module of trainer.modules) if (frozen[module.index]) module.freeze()
}

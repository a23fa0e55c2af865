// A run folder: what was asked for, what happened, the weights and the checkpoints. Files that must be
// whole are written under a temporary name and renamed; logs grow as things happen.

import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { isThere, makeFolder, writeFileAtomically } from '../base/files.js'
import { folderError } from '../base/folder-error.js'
import {
  BEST,
  CHECKPOINTS_FOLDER,
  CONFIG_FILE,
  LAST,
  REPORT_FILES,
  SUMMARY_FILE,
  WEIGHTS_FILE,
} from '../base/run-files.js'
import type { Tensors } from '../local/swin-transformer.js'
import type { Logger } from '../loggers/logger.js'
import { Loggers } from '../loggers/loggers.js'
import type { RunEvent, TrainEvent } from '../train/events.js'
import { captureState } from '../train/training-state.js'
import { CheckpointStore, type LoadedState, share } from './checkpoint-store.js'
import { RunLock } from './run-lock.js'
import { metadataOf, type RunSubject } from './run-metadata.js'
import { type Surroundings, surroundingsOf } from './surroundings.js'

export interface FolderOptions {
  /** Beside those of every run folder. */
  readonly loggers: readonly Logger[]
  /** What goes wrong with a logger that the run can do without. */
  readonly onProblem: (problem: string) => void
}

/** How a run goes on. */
export interface Continuation {
  /** It does not: nothing is written any more. */
  readonly isOver: boolean
  /** It was over, and is trained further. */
  readonly wasOver: boolean
  /** What config.json is to hold; undefined: what it holds. */
  readonly config: object | undefined
}

export class RunFolder {
  readonly directory: string
  /** Where an interrupted run goes on; undefined: it begins. */
  readonly state: LoadedState | undefined
  readonly #subject: RunSubject
  /** None of a run that is over. */
  readonly #loggers: Loggers | undefined
  readonly #store: CheckpointStore
  readonly #lock: RunLock
  readonly #identity: string
  #isClosed = false
  readonly #surroundings: Surroundings

  private constructor(
    directory: string,
    subject: RunSubject,
    parts: {
      store: CheckpointStore
      lock: RunLock
      loggers: Loggers | undefined
      identity: string
    },
    state: LoadedState | undefined,
  ) {
    this.directory = directory
    this.state = state
    this.#subject = subject
    this.#store = parts.store
    this.#lock = parts.lock
    this.#loggers = parts.loggers
    this.#identity = parts.identity
    // Now: later there may be no file left to read a version from.
    this.#surroundings = surroundingsOf(subject.trainer)
  }

  /**
   * Makes `directory` where it is not there yet; false where it is.
   *
   * @throws {LocalformerError} `ERR_CONFIG` where it cannot be made.
   */
  static async claim(directory: string): Promise<boolean> {
    const refuse = (cause: unknown): never => {
      throw unwritable(directory, cause)
    }
    await makeFolder(path.dirname(directory)).catch(refuse)
    return mkdir(directory).then(
      () => true,
      (cause) => (cause.code === 'EEXIST' ? false : refuse(cause)),
    )
  }

  /**
   * Makes `directory`. Where it is there already, what an earlier run left in it is removed, so that
   * nothing of two runs stands side by side.
   *
   * @param overwrite Also the checkpoints of another run; false: they are refused as by
   *   {@link checkFree}.
   * @throws {LocalformerError} `ERR_CONFIG` where it cannot be written; `ERR_BUSY` where another process
   *   writes it.
   */
  static async create(
    directory: string,
    subject: RunSubject,
    overwrite: boolean,
    options: FolderOptions,
  ): Promise<RunFolder> {
    const store = storeOf(directory)
    let lock: RunLock | undefined
    try {
      await makeFolder(directory)
      lock = RunLock.take(directory)
      // Asked again: another process may have been faster.
      if (!overwrite) await checkFree(directory)
      for (const name of [WEIGHTS_FILE, SUMMARY_FILE, ...REPORT_FILES])
        await rm(path.join(directory, name), { force: true })
      await store.clear()
      await removeTemporaries(directory)
      await writeConfig(directory, subject.config)
      return await RunFolder.#open(directory, subject, store, lock, undefined, options)
    } catch (cause) {
      lock?.release()
      throw cause instanceof LocalformerError ? cause : unwritable(directory, cause)
    }
  }

  /**
   * Goes on with the run of a folder: from its last checkpoint that is whole, or from its beginning
   * where it has none yet.
   *
   * @param decide How, by that checkpoint; where it throws, the folder is as it was.
   * @throws {LocalformerError} `ERR_CHECKPOINT` where all its checkpoints are damaged, or the folder
   *   cannot be written; `ERR_BUSY` where another process writes it.
   */
  static async resume(
    directory: string,
    subject: RunSubject,
    options: FolderOptions,
    decide: (state: LoadedState | undefined) => Promise<Continuation>,
  ): Promise<RunFolder> {
    const store = storeOf(directory)
    const lock = lockOf(directory)
    let folder: RunFolder | undefined
    try {
      await store.clean()
      await removeTemporaries(directory)
      const state = await store.load()
      const { isOver, wasOver, config } = await decide(state)
      if (config !== undefined) await reopen(directory, config, wasOver)
      folder = await RunFolder.#open(directory, subject, store, lock, state, options, isOver)
      // A run that is over saves no further checkpoint, and may have been killed before this.
      if (state !== undefined) await folder.#shareWeights(state.name)
      return folder
    } catch (error) {
      await folder?.close()
      lock.release()
      throw error
    }
  }

  static async #open(
    directory: string,
    subject: RunSubject,
    store: CheckpointStore,
    lock: RunLock,
    state: LoadedState | undefined,
    { loggers, onProblem }: FolderOptions,
    isOver = false,
  ): Promise<RunFolder> {
    const { run, config, trainer } = subject
    const logged = { directory, run, config, modules: trainer.modules.length }
    const from = state && { places: state.logs ?? {}, step: state.progress.step }
    const identity = await identityOfFolder(directory)
    // What was logged of a run that is over stays as it is.
    const opened = isOver ? undefined : await Loggers.open(logged, loggers, onProblem, from)
    return new RunFolder(directory, subject, { store, lock, loggers: opened, identity }, state)
  }

  /** Has the run of a folder come to its first checkpoint, so that it does not begin anew? */
  static async hasCheckpoint(directory: string): Promise<boolean> {
    return storeOf(directory).hasState()
  }

  /** Tells an event to the run's loggers. */
  log(event: RunEvent): void {
    this.#loggers?.log(event)
  }

  /**
   * Keeps the run as it is at a `checkpoint` event, and its weights as those of the run; false where a
   * step failed since weights are not finite: what was kept before is better.
   *
   * @param every Epochs after which a checkpoint stays for good; undefined: none does.
   * @throws {LocalformerError} `ERR_CHECKPOINT`; the checkpoints that were there are untouched.
   */
  async saveCheckpoint(
    event: TrainEvent & { type: 'checkpoint' },
    every: number | undefined,
  ): Promise<boolean> {
    const { trainer } = this.#subject
    await this.#checkStillOurs()
    const state = await captureState(trainer, event.progress)
    if (event.reason === 'failed' && !isWhole(state.weights)) return false
    const isKept = event.reason === 'epoch' && every !== undefined && event.epoch % every === 0
    await this.#store.save(state, {
      keep: [
        ...(event.isBest ? [BEST] : []),
        ...(isKept ? [`epoch-${String(event.epoch).padStart(4, '0')}`] : []),
      ],
      metadata: metadataOf(this.#subject),
      logs: (await this.#loggers?.sync()) ?? {},
      surroundings: this.#surroundings,
    })
    await this.#shareWeights(LAST)
    return true
  }

  /**
   * What the run came to: summary.json, whose presence says that the run is over.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` where it cannot be written.
   */
  async writeSummary(value: object): Promise<void> {
    await this.#checkStillOurs()
    const file = path.join(this.directory, SUMMARY_FILE)
    await writeFileAtomically(file, `${JSON.stringify(value, null, 2)}\n`).catch((cause) => {
      throw folderError(file, cause)
    })
  }

  /** The newest weights, averaged where an average is kept. */
  get weights(): string {
    return path.join(this.directory, WEIGHTS_FILE)
  }

  /** Ends the logs; another process may go on with the run. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      await this.#loggers?.close()
    } finally {
      this.#lock.release()
    }
  }

  /** A folder that was removed, or put in the place of this one, takes no further file. */
  async #checkStillOurs(): Promise<void> {
    const now = await identityOfFolder(this.directory).catch(() => undefined)
    if (now === this.#identity) return
    throw new LocalformerError(
      'ERR_CHECKPOINT',
      `The run folder ${this.directory} was removed or replaced while the run went on`,
      { hint: 'Leave the folder alone until the run is over.' },
    )
  }

  async #shareWeights(checkpoint: string): Promise<void> {
    const temporary = `${this.weights}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
    try {
      await share(path.join(this.#store.directory, checkpoint, WEIGHTS_FILE), temporary)
      await rename(temporary, this.weights)
    } catch (cause) {
      throw folderError(this.weights, cause)
    } finally {
      // Of two names of one file rename(2) leaves both.
      await rm(temporary, { force: true })
    }
  }
}

function isWhole(weights: Tensors): boolean {
  return Object.values(weights).every(({ data }) => data.every(Number.isFinite))
}

async function writeConfig(directory: string, config: object): Promise<void> {
  await writeFileAtomically(
    path.join(directory, CONFIG_FILE),
    `${JSON.stringify(config, null, 2)}\n`,
  )
}

/** The run goes on by its configuration; `wasOver`: it had come to its end. */
async function reopen(directory: string, config: object, wasOver: boolean): Promise<void> {
  try {
    // First: a process that is killed in between leaves a run that ends at once when it goes on.
    if (wasOver) await rm(path.join(directory, SUMMARY_FILE), { force: true })
    await writeConfig(directory, config)
  } catch (cause) {
    throw unwritable(directory, cause)
  }
}

/** What processes that were killed left half written beside the checkpoints. */
async function removeTemporaries(directory: string): Promise<void> {
  const names = await readdir(directory)
  for (const name of names.filter((name) => /\.\d+-[0-9a-f]{8}\.tmp$/.test(name))) {
    await rm(path.join(directory, name), { force: true })
  }
}

async function identityOfFolder(directory: string): Promise<string> {
  const { dev, ino } = await stat(directory)
  return `${dev}:${ino}`
}

/**
 * Whether a new run may take a folder.
 *
 * @throws {LocalformerError} `ERR_CONFIG` where it holds the checkpoints of another one.
 */
export async function checkFree(directory: string): Promise<void> {
  const store = storeOf(directory)
  const isDone = await isThere(path.join(directory, SUMMARY_FILE))
  const hasWeights = await isThere(path.join(directory, WEIGHTS_FILE))
  if (!isDone && !hasWeights && (await store.isEmpty())) return
  const progress = await store.progress()
  const where = progress ? ` (step ${progress.step}, epoch ${progress.epoch})` : ''
  throw new LocalformerError(
    'ERR_CONFIG',
    `The run folder ${directory} holds ${isDone ? 'a finished' : 'an unfinished'} run${where}`,
    {
      hint:
        `${isDone ? '' : `Go on with it: npx localformer train --resume ${directory}\n`}` +
        'Name another folder with --run-dir, or remove what it holds with --overwrite.',
    },
  )
}

function unwritable(directory: string, cause: unknown): LocalformerError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new LocalformerError(
    'ERR_CONFIG',
    `The run folder ${directory} cannot be written: ${reason}`,
    { cause, hint: 'Name another one with --run-dir.' },
  )
}

function lockOf(directory: string): RunLock {
  try {
    return RunLock.take(directory)
  } catch (cause) {
    throw cause instanceof LocalformerError ? cause : folderError(directory, cause)
  }
}

function storeOf(directory: string): CheckpointStore {
  return new CheckpointStore(path.join(directory, CHECKPOINTS_FOLDER))
}

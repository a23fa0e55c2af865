// A run folder: what was asked for, what happened, the weights and the checkpoints. Files that must be
// whole are written under a temporary name and renamed; logs grow as things happen.

import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { isThere, makeFolder, writeFileAtomically } from '../base/files.js'
import { folderError } from '../base/folder-error.js'
import type { Dataset, Rgb } from '../datasets/dataset.js'
import type { DeviceName } from '../device/device.js'
import { parseRunSpec, pinSplit, type RunSpec } from '../local/methods.js'
import { type SwinConfig, SwinTransformer } from '../local/swin-transformer.js'
import { partsOf, type Trainer } from '../local/trainer.js'
import { createTrainer } from '../local/trainer-of-spec.js'
import { RunLogs } from '../loggers/run-logs.js'
import type { TrainEvent } from '../train/events.js'

import { captureState } from '../train/training-state.js'
import { readCheckpoint } from '../weights/checkpoint.js'
import { CheckpointStore, LAST, type LoadedState, share, WEIGHTS } from './checkpoint-store.js'
import { REPORT_FILES } from './files.js'
import { RunLock } from './run-lock.js'
import { surroundingsOf } from './surroundings.js'

const CONFIG = 'config.json'
const SUMMARY = 'summary.json'

/** What a run is, beside its options. */
export interface RunSubject {
  readonly trainer: Trainer
  readonly spec: RunSpec
  readonly data: Dataset
}

export class RunFolder {
  readonly directory: string
  /** Where an interrupted run goes on; undefined: it begins. */
  readonly state: LoadedState | undefined
  readonly #subject: RunSubject
  readonly #logs: RunLogs
  readonly #store: CheckpointStore
  readonly #lock: RunLock

  private constructor(
    directory: string,
    subject: RunSubject,
    store: CheckpointStore,
    lock: RunLock,
    state?: LoadedState,
  ) {
    this.directory = directory
    this.state = state
    this.#subject = subject
    this.#store = store
    this.#lock = lock
    const from = state && { lengths: state.logs ?? {}, step: state.progress.step }
    this.#logs = new RunLogs(directory, subject.trainer.modules.length, from)
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
    config: unknown,
    subject: RunSubject,
    overwrite: boolean,
  ): Promise<RunFolder> {
    const store = storeOf(directory)
    let lock: RunLock | undefined
    try {
      await makeFolder(directory)
      lock = RunLock.take(directory)
      // Asked again: another process may have been faster.
      if (!overwrite) await checkFree(directory)
      for (const name of [WEIGHTS, SUMMARY, ...REPORT_FILES])
        await rm(path.join(directory, name), { force: true })
      await store.clear()
      await writeFileAtomically(
        path.join(directory, CONFIG),
        `${JSON.stringify(config, null, 2)}\n`,
      )
      return new RunFolder(directory, subject, store, lock)
    } catch (cause) {
      lock?.release()
      throw cause instanceof LocalformerError ? cause : unwritable(directory, cause)
    }
  }

  /**
   * Goes on with the run of a folder: from its last checkpoint that is whole, or from its beginning
   * where it has none yet.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` where all its checkpoints are damaged, or the folder
   *   cannot be written; `ERR_BUSY` where another process writes it.
   */
  static async resume(directory: string, subject: RunSubject): Promise<RunFolder> {
    const store = storeOf(directory)
    const lock = lockOf(directory)
    try {
      await store.clean()
      const state = await store.load()
      const folder = new RunFolder(directory, subject, store, lock, state)
      // A run that is over saves no further checkpoint, and may have been killed before this.
      if (state !== undefined) await folder.#shareWeights(state.name)
      return folder
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** Has the run of a folder come to its first checkpoint, so that it does not begin anew? */
  static async hasCheckpoint(directory: string): Promise<boolean> {
    return storeOf(directory).hasState()
  }

  /** Records an event in the run's logs. */
  event(event: TrainEvent): void {
    this.#logs.add(event)
  }

  /**
   * Keeps the run as it is at a `checkpoint` event, and its weights as those of the run.
   *
   * @param every Epochs after which a checkpoint stays for good; undefined: none does.
   * @throws {LocalformerError} `ERR_CHECKPOINT`; the checkpoints that were there are untouched.
   */
  async saveCheckpoint(
    event: TrainEvent & { type: 'checkpoint' },
    every: number | undefined,
  ): Promise<void> {
    const { trainer } = this.#subject
    const isKept = event.reason === 'epoch' && every !== undefined && event.epoch % every === 0
    await this.#store.save(await captureState(trainer, event.progress), {
      keep: [
        ...(event.isBest ? ['best'] : []),
        ...(isKept ? [`epoch-${String(event.epoch).padStart(4, '0')}`] : []),
      ],
      metadata: metadataOf(this.#subject),
      logs: this.#logs.sync(),
      surroundings: surroundingsOf(trainer),
    })
    await this.#shareWeights(LAST)
  }

  /**
   * What the run came to: summary.json, whose presence says that the run is over.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` where it cannot be written.
   */
  async writeSummary(value: unknown): Promise<void> {
    const file = path.join(this.directory, SUMMARY)
    await writeFileAtomically(file, `${JSON.stringify(value, null, 2)}\n`).catch((cause) => {
      throw folderError(file, cause)
    })
  }

  /** The newest weights, averaged where an average is kept. */
  get weights(): string {
    return path.join(this.directory, WEIGHTS)
  }

  /** Ends the logs; another process may go on with the run. */
  close(): void {
    this.#logs.close()
    this.#lock.release()
  }

  async #shareWeights(checkpoint: string): Promise<void> {
    const temporary = `${this.weights}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
    try {
      await share(path.join(this.#store.directory, checkpoint, WEIGHTS), temporary)
      await rename(temporary, this.weights)
    } catch (cause) {
      throw folderError(this.weights, cause)
    } finally {
      // Of two names of one file rename(2) leaves both.
      await rm(temporary, { force: true })
    }
  }
}

/** What the run of a folder came to; undefined where it is not over. */
export async function readSummary(directory: string): Promise<object | undefined> {
  try {
    return JSON.parse(await readFile(path.join(directory, SUMMARY), 'utf8'))
  } catch {
    return undefined
  }
}

/**
 * Whether a new run may take a folder.
 *
 * @throws {LocalformerError} `ERR_CONFIG` where it holds the checkpoints of another one.
 */
export async function checkFree(directory: string): Promise<void> {
  const store = storeOf(directory)
  if (await store.isEmpty()) return
  const isDone = await isThere(path.join(directory, SUMMARY))
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
  return new CheckpointStore(path.join(directory, 'checkpoints'))
}

/** With what is needed to build the network and its auxiliary parts again. */
function metadataOf({ trainer, spec, data }: RunSubject): Record<string, string> {
  return {
    model: JSON.stringify(trainer.model.config),
    run: pinSplit(spec, trainer.cuts),
    dataset: data.name,
    classes: JSON.stringify(data.classes),
    normalisation: JSON.stringify({ mean: data.mean, std: data.std }),
  }
}

export interface LoadedRun {
  readonly model: SwinTransformer
  readonly trainer: Trainer
  readonly spec: RunSpec
  /** Name of the data set that it was trained on. */
  readonly dataset: string
  readonly classes: readonly string[]
  /** Of each channel over the training images, pixels in 0..1. */
  readonly mean: Rgb
  /** Standard deviation of the same. */
  readonly std: Rgb
}

/**
 * Rebuilds the network and its modules' heads from a run folder, one of its checkpoints or a weights
 * file.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT`
 */
export async function loadRun(place: string, device: string): Promise<LoadedRun> {
  const file = place.endsWith('.safetensors') ? place : path.join(place, WEIGHTS)
  await checkThere(place, file)
  const { tensors, metadata } = await readCheckpoint(file)
  const { config, spec, dataset, classes, mean, std } = readMetadata(file, metadata)
  const model = await SwinTransformer.create({ ...config, device: device as DeviceName })
  try {
    const trainer = await createTrainer(model, spec)
    const wanted = [...model.parameters(), ...trainer.auxiliaryParameters()].map(({ name }) => name)
    const missing = wanted.filter((name) => !(name in tensors))
    if (missing.length > 0) {
      const some = missing.slice(0, 5).join(', ')
      throw new LocalformerError(
        'ERR_CHECKPOINT',
        `${file} lacks ${missing.length} tensors: ${some}${missing.length > 5 ? ', ...' : ''}`,
      )
    }
    const [network, auxiliary] = partsOf(tensors)
    await model.writeParameters(network)
    await trainer.writeAuxiliary(auxiliary)
    return { model, trainer, spec, dataset, classes, mean, std }
  } catch (error) {
    model.dispose()
    throw error
  }
}

async function checkThere(place: string, file: string): Promise<void> {
  if (await isThere(file)) return
  const what = (await isThere(place)) ? `${place} holds no ${WEIGHTS}` : `There is no ${place}`
  throw new LocalformerError('ERR_CHECKPOINT', what, {
    hint: 'Name the folder of a run, which has weights from its first checkpoint on, or a file of them.',
  })
}

function readMetadata(file: string, metadata: Readonly<Record<string, string>>) {
  try {
    return {
      config: JSON.parse(metadata.model ?? '') as SwinConfig,
      spec: parseRunSpec(metadata.run ?? ''),
      dataset: metadata.dataset ?? '',
      classes: JSON.parse(metadata.classes ?? '[]') as string[],
      ...(JSON.parse(metadata.normalisation ?? '') as Pick<LoadedRun, 'mean' | 'std'>),
    }
  } catch (cause) {
    throw new LocalformerError(
      'ERR_CHECKPOINT',
      `${file} was not written by \`localformer train\``,
      {
        cause,
        hint: 'Its metadata lacks the model, the run spec or the normalisation: name a run folder.',
      },
    )
  }
}

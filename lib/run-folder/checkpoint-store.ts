// The checkpoints of a run: folders `last`, `previous`, `best`, `epoch-0010` of weights.safetensors,
// state.safetensors and state.json. A folder is written whole under another name and renamed, `last`
// becoming `previous` first, so that a process that is killed at any moment leaves a good one.

import { createHash, randomBytes } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { copyFile, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { expected, LocalformerError } from '../base/errors.js'
import { isThere, readBytes } from '../base/files.js'
import { folderError } from '../base/folder-error.js'
import { INDEX_FILE, LAST, PREVIOUS, STATE_FILE, WEIGHTS_FILE } from '../base/run-files.js'
import {
  checkFile as checkFolder,
  checkKeys,
  entriesOf,
  isArrayOf,
  readArgument,
} from '../base/validate.js'
import { choicesOf, tableOf } from '../device/products.js'
import type { Tensors } from '../local/swin-transformer.js'
import type { LogPlaces } from '../loggers/loggers.js'
import type { TrainingProgress, TrainingState } from '../train/training-state.js'
import { readCheckpoint, type WrittenFile, writeCheckpoint } from '../weights/checkpoint.js'
import { damaged } from './refusals.js'
import { parseStateIndex, type StateIndex, stateIndexText } from './state-index.js'
import type { Surroundings } from './surroundings.js'

const FILES = [WEIGHTS_FILE, STATE_FILE, INDEX_FILE] as const

export interface SaveOptions {
  /** Further names under which it is kept, `best` for one; the files are shared, not copied. */
  readonly keep?: readonly string[]
  /** Of weights.safetensors. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Where the run's logs were. */
  readonly logs?: LogPlaces
  /** What computed it. */
  readonly surroundings?: Surroundings
}

/** A state as it was read, ready for `train(trainer, data, { state })`. */
export interface LoadedState extends TrainingState {
  /** Of the folder that it came from. */
  readonly name: string
  readonly logs: LogPlaces | undefined
  readonly surroundings: Surroundings | undefined
  /** Why a newer one could not be used. */
  readonly damage: LocalformerError | undefined
}

export class CheckpointStore {
  readonly directory: string
  #isLastDamaged = false

  /** @param directory Folder of the checkpoints; made by the first {@link save}. */
  constructor(directory: string) {
    checkFolder(directory, 'directory', 'the name of a folder')
    this.directory = directory
  }

  /**
   * Writes a state as `last`; the one before it becomes `previous`.
   *
   * weights.safetensors holds the averaged weights where an average is kept; the others are then in
   * state.safetensors.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` with the reason; every checkpoint that was there is
   *   untouched and nothing half written stays.
   */
  async save(state: TrainingState, options: SaveOptions = {}): Promise<void> {
    readArgument('state', () => checkSaved(state, options))
    const temporary = this.#path(`.${process.pid}-${randomBytes(4).toString('hex')}.tmp`)
    try {
      await mkdir(temporary, { recursive: true })
      await writeFolder(temporary, state, options)
      // Before `last`: a process that is killed in between does this epoch, and so these, again.
      for (const name of options.keep ?? []) await this.#keep(temporary, name)
      await this.#commit(temporary)
    } catch (cause) {
      await this.clean().catch(() => undefined)
      throw folderError(this.#path(LAST), reasonOf(cause))
    }
  }

  /**
   * The newest state that is whole: `last`, else `previous`. Undefined where there is none.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` where what is there is damaged.
   */
  async load(): Promise<LoadedState | undefined> {
    let damage: LocalformerError | undefined
    for (const name of [LAST, PREVIOUS]) {
      if (!(await isThere(this.#path(name)))) continue
      try {
        const state = await readFolder(this.#path(name))
        this.#isLastDamaged = damage !== undefined
        return { ...state, name, damage }
      } catch (error) {
        if (!(error instanceof LocalformerError)) throw error
        damage ??= error
      }
    }
    if (damage === undefined) return undefined
    throw await this.#withOthers(damage)
  }

  /** Is there one that {@link load} looks at? The first save writes `best` before. */
  async hasState(): Promise<boolean> {
    return (await isThere(this.#path(LAST))) || isThere(this.#path(PREVIOUS))
  }

  /** Is there any? */
  async isEmpty(): Promise<boolean> {
    return (await this.#names()).length === 0
  }

  /** How far `last`, or else `previous`, is, without its tensors; undefined where it cannot be told. */
  async progress(): Promise<TrainingProgress | undefined> {
    return (await this.index())?.progress
  }

  /** @internal state.json of `last`, or else of `previous`; undefined where neither can be read. */
  async index(): Promise<StateIndex | undefined> {
    return (await findIndex(this.#path(LAST))) ?? findIndex(this.#path(PREVIOUS))
  }

  /**
   * Removes what a process that was killed left half written, and puts back what it had moved away
   * for something new that never came.
   */
  async clean(): Promise<void> {
    const names: string[] = await readdir(this.directory).catch(() => [])
    for (const name of names.filter((name) => /^\..*\.(tmp|old)$/.test(name))) {
      const replaced = /^\.(.*)\.old$/.exec(name)?.[1]
      if (replaced !== undefined && !names.includes(replaced)) {
        await rename(this.#path(name), this.#path(replaced))
      }
      await rm(this.#path(name), { recursive: true, force: true })
    }
  }

  /** Removes all of them. */
  async clear(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }

  #path(name: string): string {
    return path.join(this.directory, name)
  }

  async #names(): Promise<string[]> {
    const names: string[] = await readdir(this.directory).catch(() => [])
    return names.filter((name) => !name.startsWith('.')).sort()
  }

  async #keep(temporary: string, name: string): Promise<void> {
    const copy = this.#path(`.${name}.tmp`)
    const old = this.#path(`.${name}.old`)
    await rm(copy, { recursive: true, force: true })
    await mkdir(copy)
    for (const file of FILES) await share(path.join(temporary, file), path.join(copy, file))
    await rm(old, { recursive: true, force: true })
    await moveIfThere(this.#path(name), old)
    await rename(copy, this.#path(name))
    await rm(old, { recursive: true, force: true })
  }

  async #commit(temporary: string): Promise<void> {
    const [last, previous, old] = [LAST, PREVIOUS, `.${PREVIOUS}.old`].map((name) =>
      this.#path(name),
    ) as [string, string, string]
    await rm(old, { recursive: true, force: true })
    if (this.#isLastDamaged) {
      // The one before it is the good one, and stays until the new one stands.
      await rm(last, { recursive: true, force: true })
    } else {
      const isReplaced = await isThere(last)
      if (isReplaced) await moveIfThere(previous, old)
      await moveIfThere(last, previous)
    }
    await rename(temporary, last)
    await syncFolder(this.directory)
    this.#isLastDamaged = false
    await rm(old, { recursive: true, force: true })
  }

  async #withOthers(damage: LocalformerError): Promise<LocalformerError> {
    const others: string[] = []
    for (const name of await this.#names()) {
      const isWhole = await readFolder(this.#path(name)).then(
        () => true,
        () => false,
      )
      if (isWhole) others.push(name)
    }
    const hint =
      others.length === 0
        ? 'No other is whole; begin the run anew with --overwrite.'
        : `Whole ones are ${others.join(', ')}: rename one to ${LAST}, and the run goes on from it.`
    return new LocalformerError('ERR_CHECKPOINT', damage.message, { cause: damage, hint })
  }
}

/** What a script may hand over. Names become folders beside `last`, so they are plain ones. */
function checkSaved(state: TrainingState, options: SaveOptions): void {
  checkKeys(options, 'options', ['keep', 'metadata', 'logs', 'surroundings'])
  const isState =
    [state, state?.progress, state?.weights, state?.tensors].every(isObject) &&
    isArrayOf(state.generator, Uint8Array)
  if (!isState) {
    throw new LocalformerError('ERR_CONFIG', expected('what captureState gave', 'state', state))
  }
  const { keep = [] } = options
  const isName = (name: unknown) =>
    typeof name === 'string' && /^[A-Za-z0-9][\w-]{0,63}$/.test(name)
  const isFree = (name: unknown) => isName(name) && name !== LAST && name !== PREVIOUS
  if (!entriesOf(keep)?.every(isFree)) {
    const what = 'a list of names of letters, digits, _ and -, neither last nor previous,'
    throw new LocalformerError('ERR_CONFIG', expected(what, 'keep', keep))
  }
}

async function writeFolder(folder: string, state: TrainingState, options: SaveOptions) {
  const { progress, weights, tensors, generator, products } = state
  const averages = withPrefix(tensors, 'average.')
  const isAveraged = Object.keys(averages).length > 0
  const written = {
    [WEIGHTS_FILE]: await writeCheckpoint(path.join(folder, WEIGHTS_FILE), {
      tensors: isAveraged ? averages : weights,
      metadata: options.metadata ?? {},
    }),
    [STATE_FILE]: await writeCheckpoint(path.join(folder, STATE_FILE), {
      tensors: {
        ...(isAveraged ? prefixed(weights, 'weights.') : {}),
        ...prefixed(withPrefix(tensors, 'optimizer.'), 'optimizer.'),
      },
      metadata: {},
    }),
  }
  const index: StateIndex = {
    ...{ progress, generator: Buffer.from(generator).toString('base64') },
    ...(options.logs === undefined ? {} : { logs: options.logs }),
    ...(options.surroundings === undefined ? {} : { surroundings: options.surroundings }),
    ...(products ? { products: tableOf(products) } : {}),
    files: written,
  }
  const file = await open(path.join(folder, INDEX_FILE), 'wx')
  try {
    await file.writeFile(stateIndexText(index))
    await file.sync()
  } finally {
    await file.close()
  }
  await syncFolder(folder)
}

async function readFolder(folder: string) {
  const index = await readIndex(folder)
  const { progress, logs, surroundings, products } = index
  for (const name of [WEIGHTS_FILE, STATE_FILE]) await checkFile(folder, name, index.files[name])
  const kept = (await readCheckpoint(path.join(folder, WEIGHTS_FILE))).tensors
  const state = (await readCheckpoint(path.join(folder, STATE_FILE))).tensors
  const weights = withPrefix(state, 'weights.')
  const isAveraged = Object.keys(weights).length > 0
  return {
    ...{ progress, logs, surroundings, weights: isAveraged ? weights : kept },
    tensors: {
      ...prefixed(withPrefix(state, 'optimizer.'), 'optimizer.'),
      ...(isAveraged ? prefixed(kept, 'average.') : {}),
    },
    generator: new Uint8Array(Buffer.from(index.generator, 'base64')),
    ...(products === undefined ? {} : { products: choicesOf(products) }),
  }
}

/** state.json of the checkpoint in a folder; undefined where none is there, or a damaged one. */
export async function findIndex(folder: string): Promise<StateIndex | undefined> {
  return readIndex(folder).catch(() => undefined)
}

async function readIndex(folder: string): Promise<StateIndex> {
  const file = path.join(folder, INDEX_FILE)
  let text: string
  try {
    text = (await readBytes(file)).toString()
  } catch (cause) {
    throw damaged(`${file} cannot be read: ${(cause as Error).message}`, cause)
  }
  return parseStateIndex(file, text)
}

async function checkFile(folder: string, name: string, want: WrittenFile | undefined) {
  const file = path.join(folder, name)
  const bytes = await stat(file).then(
    ({ size }) => size,
    () => undefined,
  )
  if (bytes === undefined) throw damaged(`${file} is missing`)
  if (bytes !== want?.bytes) {
    throw damaged(`${file} has ${bytes} bytes, not the ${want?.bytes} that were written`)
  }
  const hash = createHash('sha256')
  try {
    for await (const piece of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(piece)
  } catch (cause) {
    throw damaged(`${file} cannot be read: ${(cause as Error).message}`, cause)
  }
  if (hash.digest('hex') !== want.sha256) {
    throw damaged(`${file} is not what was written: its SHA-256 is another`)
  }
}

/** A second name for a file; a copy where the file system has no such thing. */
export async function share(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to, constants.COPYFILE_EXCL))
}

async function moveIfThere(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

/** Names and renames of a folder are on disk when it returns. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What the file system said, rather than the error that an inner writer made of it. */
function reasonOf(error: unknown): unknown {
  return error instanceof LocalformerError && error.cause !== undefined ? error.cause : error
}

/** Those whose name begins with a prefix, without it. */
function withPrefix(tensors: Tensors, prefix: string): Tensors {
  const entries = Object.entries(tensors).filter(([name]) => name.startsWith(prefix))
  return Object.fromEntries(entries.map(([name, tensor]) => [name.slice(prefix.length), tensor]))
}

function prefixed(tensors: Tensors, prefix: string): Tensors {
  const entries = Object.entries(tensors)
  return Object.fromEntries(entries.map(([name, tensor]) => [`${prefix}${name}`, tensor]))
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

// Recipe (sources in order, files with their sums) -> a complete folder in the cache, or nothing.
// All is made in a work folder, checked and renamed into place: a folder that is there is whole.
import { constants } from 'node:fs'
import { access, mkdir, open, rename, stat, statfs } from 'node:fs/promises'
import path from 'node:path'
import { hashFile } from '../base/download.js'
import { cacheDirectory, isOffline } from '../base/environment.js'
import { LocalformerError } from '../base/errors.js'
import { formatBytes } from '../base/format.js'
import { abandonedWorkFolders, createWorkFolder, moveIfThere, removeFolder } from './work-folder.js'

/** What a fetch, or the decoding of photos, tells while it runs. */
export type FetchEvent =
  | { readonly type: 'source'; readonly source: string; readonly description: string }
  | { readonly type: 'source-failed'; readonly source: string; readonly error: LocalformerError }
  | FetchProgress

export interface FetchProgress {
  readonly type: 'progress'
  readonly phase: 'download' | 'unpack' | 'convert' | 'check' | 'decode'
  readonly unit: 'bytes' | 'files'
  readonly done: number
  /** Undefined where it is not known. */
  readonly total: number | undefined
}

/** A file with the sum that is known of it: what its publisher, or who had it before us, gives. */
export interface RecipeFile {
  readonly name: string
  readonly bytes: number
  readonly sha256?: string
  readonly md5?: string
}

/** What a source works with. */
export interface SourceContext {
  /** An empty folder of the source's own, removed afterwards. */
  readonly work: string
  /** The data set's folder in the cache, which need not be there or right. */
  readonly directory: string
  readonly signal: AbortSignal | undefined
  readonly onEvent: (event: FetchEvent) => void
}

/** A place where a data set can be had. */
export interface DatasetSource {
  /** A word: `official`, `npm`. */
  readonly name: string
  /** For people: the address. */
  readonly description: string
  /** A file or folder in the work folder that is worth keeping when the download breaks off. */
  readonly resumable?: string
  /** Puts the recipe's files into the existing folder `target`. */
  fill(target: string, context: SourceContext): Promise<void>
}

/** How a data set is fetched. */
export interface DatasetRecipe {
  readonly dataset: string
  /** The folder's name in the cache, without dots. */
  readonly folder: string
  readonly files: readonly RecipeFile[]
  /** Free space that a fetch needs at its peak. */
  readonly neededBytes: number
  /** Where a person gets the files, or the archive that holds them. */
  readonly addresses: readonly string[]
  /** Tried in this order. */
  readonly sources: readonly DatasetSource[]
  /** A source that reads what the user has already: an archive or a folder. */
  fromLocal(file: string): DatasetSource
}

export interface FetchOptions {
  /** Folder that holds the data sets' folders; default `<cache>/datasets`. */
  readonly root?: string | undefined
  /** An archive or folder that is here already, instead of the sources. */
  readonly from?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: FetchEvent) => void) | undefined
}

export interface FetchResult {
  /** The data set's folder. */
  readonly directory: string
  /** Name of the source, `local` with `from`, or `cache` where all was there. */
  readonly source: string
  readonly files: readonly RecipeFile[]
  /** Sources that were tried, in order, with the seconds each took. */
  readonly attempts: readonly FetchAttempt[]
}

export interface FetchAttempt {
  readonly source: string
  readonly seconds: number
  /** Why it failed; null for the one that served. */
  readonly error: string | null
}

/** The folder that holds every fetched data set. */
export function datasetsDirectory(): string {
  return path.join(cacheDirectory(), 'datasets')
}

/**
 * Fetches a data set, unless it is there with the right sums.
 *
 * @throws {LocalformerError} `ERR_DATASET` when no source serves, offline, when `from` is not there, or
 *   the folder cannot be written; `ERR_CHECKSUM` when what a source served is not the data set; what `signal` was aborted with.
 */
export async function fetchDataset(
  recipe: DatasetRecipe,
  options: FetchOptions = {},
): Promise<FetchResult> {
  const root = path.resolve(options.root ?? datasetsDirectory())
  try {
    return await fetchInto(root, recipe, options)
  } catch (error) {
    throw isFileSystemError(error) ? storageError(error, root) : error
  }
}

async function fetchInto(
  root: string,
  recipe: DatasetRecipe,
  { from, signal, onEvent = () => {} }: FetchOptions,
): Promise<FetchResult> {
  const directory = path.join(root, recipe.folder)
  // Before the cache is looked at: a wrong path is told also where it would not be read.
  if (from !== undefined) await demandReadable(path.resolve(from))
  if (await isComplete(directory, recipe)) {
    const place = { work: root, directory, signal, onEvent }
    const broken = await findWrongFile(directory, recipe, place)
    if (!broken) return { directory, source: 'cache', files: recipe.files, attempts: [] }
  }
  const sources = from === undefined ? recipe.sources : [recipe.fromLocal(path.resolve(from))]
  if (from === undefined && isOffline()) throw offlineError(recipe, directory)
  await cleanUpAfterOthers(root, recipe)
  const work = await createWorkFolder(root, recipe.folder)
  try {
    await demandSpace(work, recipe.neededBytes)
    const attempts: FetchAttempt[] = []
    const errors: LocalformerError[] = []
    for (const source of sources) {
      const started = performance.now()
      const seconds = () => Math.round(performance.now() - started) / 1000
      try {
        onEvent({ type: 'source', source: source.name, description: source.description })
        await takeFrom(source, { root, work, directory, recipe, signal, onEvent })
        attempts.push({ source: source.name, seconds: seconds(), error: null })
        await removePartials(root, recipe)
        return { directory, source: source.name, files: recipe.files, attempts }
      } catch (error) {
        signal?.throwIfAborted()
        // A full disk or a wrong argument is not cured by another source, and a bug is not a bad host.
        if (!isSourceError(error)) throw error
        attempts.push({ source: source.name, seconds: seconds(), error: error.message })
        errors.push(error)
        onEvent({ type: 'source-failed', source: source.name, error })
      }
    }
    throw noSourceError(recipe, directory, errors, attempts)
  } finally {
    await removeFolder(work)
  }
}

async function demandReadable(from: string): Promise<void> {
  await access(from, constants.R_OK).catch((cause: Error) => {
    throw new LocalformerError('ERR_DATASET', `Cannot read ${from}: ${cause.message}`, { cause })
  })
}

interface TakeContext extends SourceContext {
  readonly root: string
  readonly recipe: DatasetRecipe
}

async function takeFrom(source: DatasetSource, context: TakeContext): Promise<void> {
  const { root, recipe, directory, signal, onEvent } = context
  const work = path.join(context.work, source.name)
  const target = path.join(work, 'target')
  await mkdir(target, { recursive: true })
  const kept = partialFile(root, recipe, source)
  const resumed = source.resumable && path.join(work, source.resumable)
  try {
    if (resumed) await moveIfThere(kept, resumed)
    const own = { work, directory, signal, onEvent }
    await source.fill(target, own)
    const wrong = await findWrongFile(target, recipe, own)
    if (wrong) throw wrong
    await install(target, directory, context)
  } catch (error) {
    if (resumed) await keepPartial(resumed, kept)
    throw error
  } finally {
    await removeFolder(work)
  }
}

/** A download that broke off waits here for the next fetch. */
function partialFile(root: string, recipe: DatasetRecipe, source: DatasetSource): string {
  return path.join(root, `.partial.${recipe.folder}.${source.name}`)
}

/** Best effort: on a full disk the error that led here matters more. */
async function keepPartial(file: string, kept: string): Promise<void> {
  await moveIfThere(file, kept).catch(() => {})
}

async function removePartials(root: string, recipe: DatasetRecipe): Promise<void> {
  for (const source of recipe.sources) await removeFolder(partialFile(root, recipe, source))
}

/** Removes work folders of killed processes, saving the downloads in them. */
async function cleanUpAfterOthers(root: string, recipe: DatasetRecipe): Promise<void> {
  for (const folder of await abandonedWorkFolders(root, recipe.folder)) {
    for (const source of recipe.sources) {
      if (!source.resumable) continue
      const file = path.join(folder, source.name, source.resumable)
      await keepPartial(file, partialFile(root, recipe, source))
    }
    await removeFolder(folder)
  }
}

/** Whether every file is there with its size: what can be seen without reading them. */
export async function isComplete(directory: string, recipe: DatasetRecipe): Promise<boolean> {
  for (const { name, bytes } of recipe.files) {
    const entry = await stat(path.join(directory, name)).catch(() => undefined)
    if (!entry?.isFile() || entry.size !== bytes) return false
  }
  return true
}

/** The error of the first file that is not what the recipe says; undefined where all are. */
async function findWrongFile(
  directory: string,
  recipe: DatasetRecipe,
  { signal, onEvent }: SourceContext,
): Promise<LocalformerError | undefined> {
  const total = recipe.files.length
  for (const [done, wanted] of recipe.files.entries()) {
    onEvent({ type: 'progress', phase: 'check', unit: 'files', done, total })
    const { name, bytes } = wanted
    const file = path.join(directory, name)
    const entry = await stat(file).catch(() => undefined)
    if (!entry) {
      return new LocalformerError('ERR_DATASET', `${name} of ${recipe.dataset} is missing`)
    }
    const { algorithm, sum } = sumOf(wanted)
    const found = await hashFile(file, algorithm, signal)
    if (entry.size !== bytes || found !== sum) {
      return checksumError(`${name} (${entry.size} bytes)`, algorithm, found, sum)
    }
  }
  onEvent({ type: 'progress', phase: 'check', unit: 'files', done: total, total })
  return undefined
}

/** Whether a file is there with its size and sum. */
export async function isRightFile(
  place: string,
  file: RecipeFile,
  signal?: AbortSignal,
): Promise<boolean> {
  const entry = await stat(place).catch(() => undefined)
  if (!entry?.isFile() || entry.size !== file.bytes) return false
  const { algorithm, sum } = sumOf(file)
  return (await hashFile(place, algorithm, signal)) === sum
}

function sumOf({ name, sha256, md5 }: RecipeFile): { algorithm: 'sha256' | 'md5'; sum: string } {
  if (sha256 !== undefined) return { algorithm: 'sha256', sum: sha256 }
  if (md5 !== undefined) return { algorithm: 'md5', sum: md5 }
  throw new TypeError(`The recipe gives no sum of ${name}`)
}

export function checksumError(
  what: string,
  algorithm: string,
  found: string,
  wanted: string,
): LocalformerError {
  return new LocalformerError(
    'ERR_CHECKSUM',
    `The ${algorithm} of ${what} is ${found}, expected ${wanted}`,
    { details: { algorithm, found, wanted } },
  )
}

/** Renames the finished folder into place; one that another process put there meanwhile stays. */
async function install(target: string, directory: string, context: TakeContext): Promise<void> {
  // A rename may reach the disk before the data does: without this a power cut could leave
  // a folder that looks complete.
  for (const { name } of context.recipe.files) await syncFile(path.join(target, name))
  try {
    await rename(target, directory)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(code)) throw error
    if ((await isComplete(directory, context.recipe)) && !(await isBroken(directory, context))) {
      return
    }
    await moveIfThere(directory, path.join(context.work, 'replaced'))
    await rename(target, directory)
  }
}

async function isBroken(directory: string, context: TakeContext): Promise<boolean> {
  return (await findWrongFile(directory, context.recipe, context)) !== undefined
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function demandSpace(folder: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  if (freeBytes >= neededBytes) return
  throw new LocalformerError(
    'ERR_DATASET',
    `A fetch needs ${formatBytes(neededBytes)} of space in ${path.dirname(folder)}, ` +
      `where ${formatBytes(freeBytes)} are free`,
    {
      hint: 'Free some space, or set LOCALFORMER_CACHE to a folder on another disk.',
      details: { neededBytes, freeBytes },
    },
  )
}

/** An error of a system call on a file; those of a connection come wrapped by then. */
function isFileSystemError(error: unknown): error is NodeJS.ErrnoException {
  const { syscall, code } = (error ?? {}) as NodeJS.ErrnoException
  return typeof syscall === 'string' && typeof code === 'string'
}

function storageError(error: NodeJS.ErrnoException, root: string): LocalformerError {
  const full = error.code === 'ENOSPC' || error.code === 'EDQUOT'
  const message = full
    ? `No space left for the data set in ${root} (${error.message})`
    : `Cannot store the data set in ${root} (${error.message})`
  return new LocalformerError('ERR_DATASET', message, {
    hint: full
      ? 'Free some space, or set LOCALFORMER_CACHE to a folder on another disk.'
      : 'Set LOCALFORMER_CACHE to a folder that can be written.',
    cause: error,
  })
}

/** Whether the next source may do better. */
function isSourceError(error: unknown): error is LocalformerError {
  return (
    error instanceof LocalformerError &&
    (error.code === 'ERR_DATASET' || error.code === 'ERR_CHECKSUM')
  )
}

/** How to place the files without a fetch, as sentences. */
export function byHand(recipe: DatasetRecipe, directory: string): string {
  const names = recipe.files.map(({ name }) => name).join(', ')
  return (
    `By hand: get ${recipe.addresses.join(' and ')} by other means and pass the archive or the ` +
    `folder with the files with \`npx localformer dataset fetch ${recipe.dataset} --from PATH\`, or put ` +
    `${names} into ${directory}, or leave them where they are and name their folder with ` +
    '`--data-dir`.'
  )
}

function offlineError(recipe: DatasetRecipe, directory: string): LocalformerError {
  return new LocalformerError(
    'ERR_DATASET',
    `Data set ${recipe.dataset} is not (or not whole) in the cache and LOCALFORMER_OFFLINE forbids ` +
      'to fetch it',
    { hint: `Unset LOCALFORMER_OFFLINE. ${byHand(recipe, directory)}` },
  )
}

function noSourceError(
  recipe: DatasetRecipe,
  directory: string,
  errors: readonly LocalformerError[],
  attempts: readonly FetchAttempt[],
): LocalformerError {
  const isLocal = attempts.every(({ source }) => source === 'local')
  const again = isLocal ? '' : 'Try again (an interrupted download is resumed). '
  const hint = `${again}${byHand(recipe, directory)}`
  const [only] = errors
  if (only && errors.length === 1) {
    return new LocalformerError(only.code, only.message, {
      hint,
      cause: only,
      details: { attempts },
    })
  }
  const lines = attempts.map(({ source, error }) => `  ${source}: ${error}`)
  // Wrong data is the graver finding: somebody served something else.
  const code = errors.some((error) => error.code === 'ERR_CHECKSUM')
    ? 'ERR_CHECKSUM'
    : 'ERR_DATASET'
  return new LocalformerError(
    code,
    `No source served data set ${recipe.dataset}:\n${lines.join('\n')}`,
    { hint, cause: new AggregateError(errors), details: { attempts } },
  )
}

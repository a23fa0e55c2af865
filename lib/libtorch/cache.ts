// The cache folder of LibTorch: a lock between processes, a staging folder per install, and the
// publication of a finished one by rename. Correctness rests on the rename alone: an install is
// either absent or whole. The lock only keeps two processes from downloading the same files.
//   libtorch/2.11.0-cpu/{torch,nvidia,install.json}   libtorch/.staging-*   libtorch/.lock
import { existsSync, readFileSync } from 'node:fs'
import {
  access,
  constants,
  mkdir,
  readdir,
  readlink,
  rename,
  rm,
  statfs,
  symlink,
  unlink,
} from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LocalformerError } from '../base/errors.js'
import { formatBytes } from '../base/format.js'

const LOCK = '.lock'
const STAGING = '.staging-'
const TRASH = '.trash-'
const LOCK_POLL_MS = 200

export interface WorkOptions {
  /** Told once when another process holds the lock. */
  readonly onWait?: ((owner: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Runs `work` with the cache locked; waits while another process of this machine holds it.
 *
 * @throws {LocalformerError} `ERR_CONFIG` when the cache cannot be written, `ERR_BUSY` when a
 *   process of another machine holds the lock, since nothing here can tell whether it still runs.
 */
export async function withLockedCache<T>(
  folder: string,
  options: WorkOptions,
  work: () => Promise<T>,
): Promise<T> {
  try {
    await makeFolders(folder)
    await access(folder, constants.W_OK)
    await lock(folder, options)
    try {
      await removeLeftovers(folder)
      return await work()
    } finally {
      await unlink(path.join(folder, LOCK)).catch(() => {})
    }
  } catch (error) {
    throw translate(error, folder)
  }
}

/** Gives `work` an empty folder in the cache and removes it however `work` ends. */
export async function withStaging<T>(
  folder: string,
  work: (staging: string) => Promise<T>,
): Promise<T> {
  const staging = path.join(folder, `${STAGING}${ownToken()}`)
  await mkdir(staging)
  try {
    return await work(staging)
  } finally {
    await discard(staging)
  }
}

/** Puts a finished installation in its place, in front of the one that is there. */
export async function publish(finished: string, target: string): Promise<void> {
  await retire(target)
  await rename(finished, target)
}

/** Takes an installation away at once, then deletes it. True when there was one. */
export async function retire(target: string): Promise<boolean> {
  if (!existsSync(target)) return false
  const trash = path.join(path.dirname(target), `${TRASH}${ownToken()}`)
  await rename(target, trash)
  await discard(trash)
  return true
}

/** @throws {LocalformerError} `ERR_CONFIG` when the file system of `folder` has less free space. */
export async function requireSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  if (free >= bytes) return
  throw new LocalformerError(
    'ERR_CONFIG',
    `Not enough space for LibTorch in ${folder}: it takes ${formatBytes(bytes)}, ` +
      `${formatBytes(free)} are free`,
    {
      hint: 'Free some space, or set LOCALFORMER_CACHE to a folder on another file system.',
      details: { requiredBytes: bytes, freeBytes: free },
    },
  )
}

// fs.mkdir's own `recursive` never returns where the kernel answers ENOENT for a folder that is
// there, as in /proc.
async function makeFolders(folder: string): Promise<void> {
  if (existsSync(folder)) return
  await makeFolders(path.dirname(folder))
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    // Another process may have made it in the meantime.
    if (error.code !== 'EEXIST') throw error
  })
}

// A symbolic link is made with its text in one step, so the lock always names its owner.
async function lock(folder: string, options: WorkOptions): Promise<void> {
  const file = path.join(folder, LOCK)
  let told = false
  for (;;) {
    options.signal?.throwIfAborted()
    try {
      await symlink(ownToken(), file)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const owner = await readlink(file).catch(() => undefined)
    if (owner === undefined) continue
    const state = stateOf(owner)
    if (state === 'dead') {
      await unlink(file).catch(() => {})
      continue
    }
    if (state === 'unknown') {
      throw new LocalformerError('ERR_BUSY', `The cache is locked by ${owner}: ${file}`, {
        hint: 'If no localformer runs on that machine, delete that file and try again.',
      })
    }
    if (!told) options.onWait?.(owner)
    told = true
    await delay(LOCK_POLL_MS, undefined, { signal: options.signal })
  }
}

/** Staging and trash of processes that have ended, e.g. by kill -9. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const prefix = [STAGING, TRASH].find((start) => name.startsWith(start))
    if (prefix && stateOf(name.slice(prefix.length)) === 'dead') {
      await discard(path.join(folder, name))
    }
  }
}

/** A child process of the pip client may write for another moment, hence the retries. */
async function discard(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}

let counter = 0

// HOST:PID:START:N. The start time tells a process from a later one with the same id.
function ownToken(): string {
  counter += 1
  return [hostname(), process.pid, startTime(process.pid) ?? 0, counter].join(':')
}

function stateOf(token: string): 'alive' | 'dead' | 'unknown' {
  const [host, pid, start] = token.split(':')
  if (host !== hostname()) return 'unknown'
  return startTime(Number(pid)) === start ? 'alive' : 'dead'
}

// Field 22 of /proc/PID/stat, counted after the command's name, which may hold blanks. A killed
// process that its parent has not yet waited for (state Z) has ended.
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

const SPACE = ['ENOSPC', 'EDQUOT', 'EFBIG']
const ACCESS = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'ENOENT', 'EEXIST', 'ENAMETOOLONG']

function translate(error: unknown, folder: string): unknown {
  if (error instanceof LocalformerError || !(error instanceof Error)) return error
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const hint = 'Set LOCALFORMER_CACHE to a folder that can be written and has enough space.'
  if (SPACE.includes(code)) {
    const message = `No space left for LibTorch in ${folder} (${error.message})`
    return new LocalformerError('ERR_CONFIG', message, { hint, cause: error })
  }
  if (ACCESS.includes(code)) {
    // The cache, something in it or a folder above it; else it is the source.
    const { path: place = folder } = error as NodeJS.ErrnoException
    if (!place.startsWith(folder) && !folder.startsWith(place)) {
      const message = `${place} cannot be read (${error.message})`
      return new LocalformerError('ERR_CONFIG', message, { cause: error })
    }
    const message = `The cache ${folder} cannot be written (${error.message})`
    return new LocalformerError('ERR_CONFIG', message, { hint, cause: error })
  }
  return error
}

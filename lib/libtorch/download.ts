// The two ways to fetch a file: the pip client (which knows the user's mirrors, proxies and
// certificates) and a plain URL. Both stay inside a given folder and report the bytes so far.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { downloadFile } from '../base/download.js'
import { isOffline } from '../base/environment.js'
import { LocalformerError } from '../base/errors.js'
import type { LibtorchManifest, WheelSpec } from './manifest.js'
import { withPython } from './python.js'

/** Bytes so far; `totalBytes` is 0 where the server does not say. */
export type ReportBytes = (doneBytes: number, totalBytes: number) => void

const POLL_MS = 250
const URL_LIMITS = { connectMs: 10_000, stallMs: 30_000 }
const KEPT_LOG_LINES = 12

const FROM_HINT =
  'Or fetch a torch wheel or a LibTorch zip by other means and pass it with ' +
  '`npx localformer libtorch install --from PATH`.'

/**
 * The pip client as a command line.
 *
 * @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND` when there is none, with what to install.
 */
export async function findPip(signal: AbortSignal | undefined): Promise<readonly string[]> {
  const tried = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3']]
  for (const command of tried) {
    if ((await runQuietly([...command, '--version'], {}, signal)).status === 0) return command
  }
  throw new LocalformerError(
    'ERR_LIBTORCH_NOT_FOUND',
    'LibTorch is fetched with the pip client, and there is none: neither ' +
      `${tried.map((command) => `\`${command.join(' ')}\``).join(' nor ')} runs`,
    {
      hint:
        'Install Python with pip (Debian and Ubuntu: `apt install python3-pip`; any version ' +
        `serves, torch itself is not needed). ${FROM_HINT}`,
    },
  )
}

/**
 * Downloads one wheel with pip into `folder` and returns its path. Not verified here.
 *
 * @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND` when offline or when pip fails, with the end
 *   of pip's own words.
 */
export async function downloadWheel(
  pip: readonly string[],
  wheel: WheelSpec,
  manifest: LibtorchManifest,
  folder: string,
  report: ReportBytes,
  signal: AbortSignal | undefined,
): Promise<string> {
  requireNetwork(`${wheel.project} ${wheel.version}`)
  const target = path.join(folder, wheel.project)
  const temporary = path.join(folder, `${wheel.project}.tmp`)
  await mkdir(target, { recursive: true })
  await mkdir(temporary, { recursive: true })
  const command = [
    ...pip,
    'download',
    '--quiet',
    '--no-input',
    '--disable-pip-version-check',
    '--no-deps',
    '--only-binary=:all:',
    `--python-version=${manifest.pythonVersion}`,
    ...manifest.platforms.map((platform) => `--platform=${platform}`),
    `--dest=${target}`,
    `${wheel.project}==${wheel.version}`,
  ]
  // pip's own progress is for terminals; the growth of its folders tells the same.
  const poll = setInterval(async () => {
    const bytes = (await sizeBelow(temporary)) + (await sizeBelow(target))
    report(Math.min(bytes, wheel.sizeBytes), wheel.sizeBytes)
  }, POLL_MS)
  try {
    // TMPDIR: pip downloads there first, so it has to lie in the folder that is removed after.
    const { status, log } = await runQuietly(command, { TMPDIR: temporary }, signal)
    signal?.throwIfAborted()
    const [file] = status === 0 ? await readdir(target) : []
    if (file === undefined) {
      throw new LocalformerError(
        'ERR_LIBTORCH_NOT_FOUND',
        `pip could not download ${wheel.project} ${wheel.version}:\n${log}`,
        { hint: `Is the package index reachable (\`pip config list\`)? ${FROM_HINT}` },
      )
    }
    report(wheel.sizeBytes, wheel.sizeBytes)
    return path.join(target, file)
  } finally {
    clearInterval(poll)
  }
}

/**
 * Downloads an http(s) URL into `folder` and returns the path of the file. Gives up when there is
 * no answer within 10 s or no data for 30 s.
 *
 * @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND` when offline, unreachable or cut off.
 */
export async function downloadUrl(
  url: URL,
  folder: string,
  report: ReportBytes,
  signal: AbortSignal | undefined,
): Promise<string> {
  requireNetwork(url.href)
  const name = decodeName(path.posix.basename(url.pathname)) || 'download'
  const file = path.join(folder, name.replaceAll(/[/\0]/g, '_'))
  await downloadFile(url.href, file, {
    code: 'ERR_LIBTORCH_NOT_FOUND',
    hint: 'Check the address, or fetch the file by other means and pass its path.',
    limits: URL_LIMITS,
    signal,
    onBytes: (done, total) => report(done, total ?? 0),
  })
  return file
}

/** The last part of a URL's path as a name; as it is where its escapes are none. */
export function decodeName(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND` when `LOCALFORMER_OFFLINE` is set. */
export function requireNetwork(what: string): void {
  if (!isOffline()) return
  throw new LocalformerError(
    'ERR_LIBTORCH_NOT_FOUND',
    `LOCALFORMER_OFFLINE is set, so ${what} is not downloaded`,
    { hint: `Unset LOCALFORMER_OFFLINE. ${FROM_HINT}` },
  )
}

interface QuietRun {
  readonly status: number | null
  readonly log: string
}

/** Runs a pip to its end; status 127 when it cannot be started. Aborting ends the child. */
async function runQuietly(
  command: readonly string[],
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<QuietRun> {
  signal?.throwIfAborted()
  try {
    return await withPython(({ cwd, env }) =>
      runIn(cwd, { ...env, ...environment }, command, signal),
    )
  } catch (error) {
    // No folder could be made for it.
    return { status: 127, log: (error as Error).message }
  }
}

async function runIn(
  cwd: string,
  env: NodeJS.ProcessEnv,
  [program = '', ...argv]: readonly string[],
  signal: AbortSignal | undefined,
): Promise<QuietRun> {
  const child = spawn(program, argv, {
    ...{ cwd, env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stop = () => child.kill('SIGTERM')
  signal?.addEventListener('abort', stop)
  let log = ''
  const keep = (chunk: Buffer) => {
    log = `${log}${chunk}`.split('\n').slice(-KEPT_LOG_LINES).join('\n')
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  try {
    const [status] = (await once(child, 'close')) as [number | null]
    return { status, log: log.trim() }
  } catch (error) {
    return { status: 127, log: (error as Error).message }
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

async function sizeBelow(folder: string): Promise<number> {
  let bytes = 0
  // Files come and go while pip works: one that is gone counts nothing.
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  for (const name of names) {
    const found = await stat(path.join(folder, name)).catch(() => undefined)
    if (found?.isFile()) bytes += found.size
  }
  return bytes
}

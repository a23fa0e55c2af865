// Installs LibTorch into the cache: pip, a wheel, an official zip, a URL or a folder -> a staging
// folder in the cache -> checked -> renamed into place. Lists and removes what is installed.
// Pins: manifest.ts. Where it is looked for afterwards: locate.ts.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { hashFile } from '../base/download.js'
import { expected, LocalformerError } from '../base/errors.js'
import { publish, requireSpace, retire, withLockedCache, withStaging } from './cache.js'
import { decodeName, downloadUrl, downloadWheel, findPip, requireNetwork } from './download.js'
import { checkLibraries } from './libraries.js'
import {
  checkFlavor,
  findRoot,
  inspectLibtorch,
  installationName,
  isPinnedVersion,
  libtorchCache,
  RECEIPT,
} from './locate.js'
import {
  downloadBytes,
  FLAVORS,
  type Flavor,
  type LibtorchManifest,
  MANIFEST,
  type WheelSpec,
  wheelsOf,
} from './manifest.js'
import {
  type Contents,
  checkMembers,
  flush,
  type Member,
  openArchive,
  openCompanion,
  openFolder,
  verifyWheel,
  writeMembers,
} from './unpack.js'

/** How far an install is. `totalBytes` is 0 while a server does not say. */
export interface InstallProgress {
  readonly phase: 'download' | 'verify' | 'extract'
  /** What is worked on, e.g. `torch 2.11.0`. */
  readonly item: string
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface InstallOptions {
  /** Default: `cpu`; for a zip or a folder, what it holds. */
  readonly flavor?: Flavor | undefined
  /** A wheel, an official LibTorch zip, an unpacked folder or a URL. Default: the pip client. */
  readonly from?: string | undefined
  /** Of the file that `from` names, in hexadecimal digits: it has to be this one. */
  readonly sha256?: string | undefined
  /** Take what a URL gives though no sum of it is known. Default: false. */
  readonly trust?: boolean | undefined
  /** Replace one that is installed. Default: false. */
  readonly force?: boolean | undefined
  readonly onProgress?: ((progress: InstallProgress) => void) | undefined
  /** A sentence worth saying: waiting for another install, or a file that could not be checked. */
  readonly onNote?: ((note: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
  /** The cache of the package. Default: `cacheDirectory()`. */
  readonly cache?: string | undefined
  /** What is pinned. Default: `MANIFEST`. */
  readonly manifest?: LibtorchManifest | undefined
}

export interface CacheOptions {
  readonly flavor?: Flavor | undefined
  readonly cache?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What came from where, as it is written into the installation. */
interface Receipt {
  readonly schema: 1
  readonly version: string
  readonly flavor: Flavor
  readonly source: 'pip' | 'wheel' | 'archive' | 'folder'
  /** The path or URL given, null for pip. */
  readonly from: string | null
  /** Whether every file that was unpacked had a sha256 to be checked against. */
  readonly verified: boolean
  readonly sizeBytes: number
  /** ISO 8601, UTC. */
  readonly installedAt: string
}

export interface InstalledLibtorch extends Omit<Receipt, 'schema'> {
  /** The folder with `lib/` and `include/`. */
  readonly root: string
  /** The folder of the installation, which holds `root`. */
  readonly directory: string
}

export interface InstallResult extends InstalledLibtorch {
  /** True when it was there before and nothing was done. */
  readonly alreadyInstalled: boolean
}

/**
 * Installs the pinned LibTorch into the cache. A failed, aborted or killed install leaves nothing
 * that looks complete; an install that runs in another process is waited for.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for a wrong option, a source that is no LibTorch, or a
 *   cache that cannot be written or is full; `ERR_LIBTORCH_NOT_FOUND` when the source cannot be
 *   fetched or lacks a library; `ERR_LIBTORCH_VERSION`; `ERR_CHECKSUM`, also for a URL of which no sum
 *   is known and that is not trusted.
 * @throws The signal's reason when it is aborted.
 */
export async function installLibtorch(options: InstallOptions = {}): Promise<InstallResult> {
  checkFlavor(options.flavor)
  const source = parseSource(options.from)
  checkTrust(source, options)
  const folder = libtorchCache(options.cache)
  const onWait = (owner: string) =>
    options.onNote?.(`Waiting for another install (process ${owner.split(':')[1]}) to end`)
  return withLockedCache(folder, { onWait, signal: options.signal }, async () => {
    // A zip or a folder has to be opened first to know its flavor.
    const flavor = options.flavor ?? (source.kind === 'pip' ? 'cpu' : undefined)
    const present = flavor && findInstalled(flavor, options)
    if (present) return present
    return withStaging(folder, (staging) => new Installation(options, source, staging).run())
  })
}

/** Every LibTorch in the cache, other versions than the pinned one too. */
export function listLibtorch(options: CacheOptions = {}): readonly InstalledLibtorch[] {
  checkFlavor(options.flavor)
  const folder = libtorchCache(options.cache)
  if (!existsSync(folder) || !statSync(folder).isDirectory()) return []
  return readdirSync(folder)
    .filter((name) => !name.startsWith('.'))
    .sort()
    .map((name) => readInstalled(path.join(folder, name)))
    .filter((found) => found !== undefined)
    .filter(({ flavor }) => options.flavor === undefined || flavor === options.flavor)
}

/**
 * Removes what is installed, of one flavor or all, and returns what was removed.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for a wrong flavor or a cache that cannot be written.
 */
export async function removeLibtorch(
  options: CacheOptions = {},
): Promise<readonly InstalledLibtorch[]> {
  const installed = listLibtorch(options)
  if (installed.length === 0) return []
  return withLockedCache(libtorchCache(options.cache), { signal: options.signal }, async () => {
    for (const { directory } of installed) await retire(directory)
    return installed
  })
}

type Source =
  | { readonly kind: 'pip' }
  | { readonly kind: 'url'; readonly url: URL; readonly given: string }
  | { readonly kind: 'path'; readonly path: string; readonly given: string }

// Room for what is not in the sizes: folders and the rounding of small files to blocks.
const SPACE_MARGIN = 1.1
const UNKNOWN_FACTOR = 4
const UNKNOWN_SLACK_BYTES = 64 * 2 ** 20

/** The steps of one install; all it writes is in `staging`. */
class Installation {
  readonly #options: InstallOptions
  readonly #manifest: LibtorchManifest
  readonly #source: Source
  readonly #staging: string
  #verified = true
  #hasCheckedSpace = false
  #pipCommand: Promise<readonly string[]> | undefined

  constructor(options: InstallOptions, source: Source, staging: string) {
    this.#options = options
    this.#manifest = options.manifest ?? MANIFEST
    this.#source = source
    this.#staging = staging
  }

  async run(): Promise<InstallResult> {
    await mkdir(this.#downloads)
    await mkdir(this.#unpacked)
    const contents = await this.#openSource()
    try {
      const flavor = this.#chooseFlavor(contents)
      const present = findInstalled(flavor, this.#options)
      if (present) return present
      const companions = await this.#fetchCompanions(contents, flavor)
      const sizeBytes = await this.#extract(contents, companions, flavor)
      return await this.#finish(contents, flavor, sizeBytes)
    } finally {
      contents.close()
    }
  }

  get #downloads() {
    return path.join(this.#staging, 'downloads')
  }

  get #unpacked() {
    return path.join(this.#staging, 'unpacked')
  }

  async #openSource(): Promise<Contents> {
    const source = this.#source
    if (source.kind === 'pip') {
      requirePlatform(this.#manifest)
      const [torch] = this.#manifest.wheels
      if (!torch) throw new LocalformerError('ERR_CONFIG', 'The manifest has no wheels')
      return openArchive(await this.#fetchWheel(torch))
    }
    if (source.kind === 'url') {
      const item = source.url.pathname.split('/').at(-1) ?? source.url.href
      const report = this.#reporter('download', item)
      const signal = this.#options.signal
      const file = await downloadUrl(source.url, this.#downloads, report, signal)
      return this.#openFile(file, source.given)
    }
    if (!statSync(source.path).isDirectory()) return this.#openFile(source.path, source.given)
    const root = findRoot(source.path)
    if (!root) {
      throw new LocalformerError(
        'ERR_CONFIG',
        `Expected a folder with lib/libtorch_cpu.so for \`--from\`, but ${source.given} has none`,
      )
    }
    this.#verified = false
    this.#say(`${source.given} is a folder, whose files have no sha256 to be checked against`)
    return this.#checkVersion(await openFolder(root), source.given)
  }

  async #openFile(file: string, given: string): Promise<Contents> {
    const name = path.basename(file)
    const wheel = this.#manifest.wheels.find((known) => known.file === name)
    if (wheel && this.#options.sha256 === undefined) await this.#verify(file, wheel)
    else await this.#lookUpHash(file, given)
    return this.#checkVersion(await openArchive(file), given)
  }

  /** A known wheel under another name is known by its sha256; any other by the one that was given. */
  async #lookUpHash(file: string, given: string): Promise<void> {
    const count = this.#counter('verify', path.basename(file), statSync(file).size)
    const sha256 = await hashFile(file, 'sha256', this.#options.signal, count)
    const wanted = this.#options.sha256?.toLowerCase()
    if (wanted === sha256) return
    if (wanted !== undefined) {
      throw new LocalformerError(
        'ERR_CHECKSUM',
        `The sha256 of ${given} is ${sha256}, expected ${wanted}`,
        { hint: 'It is damaged, or another file than the one whose sum was given.' },
      )
    }
    if (this.#manifest.wheels.some((known) => known.sha256 === sha256)) return
    this.#verified = false
    this.#say(`${given} is none of the pinned wheels, so its sha256 (${sha256}) was not checked`)
  }

  #checkVersion(contents: Contents, given: string): Contents {
    const { version, cuda } = contents
    const wrong = !isPinnedVersion(version, this.#manifest)
      ? `LibTorch ${version}, but this package needs ${this.#manifest.version}`
      : cuda && cuda !== this.#manifest.cudaVersion
        ? `built for CUDA ${cuda}, but the pinned libraries are of ${this.#manifest.cudaVersion}`
        : undefined
    if (!wrong) return contents
    contents.close()
    throw new LocalformerError('ERR_LIBTORCH_VERSION', `${given} is ${wrong}`, {
      hint: `\`npx localformer libtorch install\` without --from fetches ${this.#manifest.version}.`,
    })
  }

  #chooseFlavor(contents: Contents): Flavor {
    const { kind, holds } = contents
    const flavor = this.#options.flavor ?? (kind === 'wheel' ? 'cpu' : holds)
    if (flavor !== 'cpu' && holds === 'cpu') {
      const given = this.#source.kind === 'pip' ? 'The torch wheel' : this.#source.given
      throw new LocalformerError(
        'ERR_CONFIG',
        `Expected a LibTorch with CUDA for \`--flavor ${flavor}\`, but ${given} has no libtorch_cuda.so`,
      )
    }
    return flavor
  }

  /** The nvidia wheels that a torch wheel built with CUDA needs; other sources bring theirs. */
  async #fetchCompanions(contents: Contents, flavor: Flavor): Promise<readonly string[]> {
    if (contents.kind !== 'wheel' || contents.cuda === null) return []
    const [, ...companions] = wheelsOf(flavor, this.#manifest)
    const files: string[] = []
    for (const wheel of companions) files.push(await this.#fetchWheel(wheel))
    return files
  }

  /** A wheel that lies beside the one given with `--from`, else from pip; verified. */
  async #fetchWheel(wheel: WheelSpec): Promise<string> {
    const beside =
      this.#source.kind === 'path'
        ? path.join(path.dirname(this.#source.path), wheel.file)
        : undefined
    if (beside && existsSync(beside)) {
      await this.#verify(beside, wheel)
      return beside
    }
    requireNetwork(`${wheel.project} ${wheel.version}`)
    await this.#prepareDownloads()
    const file = await downloadWheel(
      await this.#pip(),
      wheel,
      this.#manifest,
      this.#downloads,
      this.#reporter('download', `${wheel.project} ${wheel.version}`),
      this.#options.signal,
    )
    await this.#verify(file, wheel)
    return file
  }

  #pip() {
    this.#pipCommand ??= findPip(this.#options.signal)
    return this.#pipCommand
  }

  async #prepareDownloads() {
    if (this.#hasCheckedSpace || this.#source.kind !== 'pip') return
    this.#hasCheckedSpace = true
    const flavor = this.#options.flavor ?? 'cpu'
    const bytes = downloadBytes(flavor, this.#manifest) + this.#manifest.installedBytes[flavor]
    await requireSpace(this.#staging, bytes * SPACE_MARGIN)
  }

  async #verify(file: string, wheel: WheelSpec): Promise<void> {
    const item = `${wheel.project} ${wheel.version}`
    const count = this.#counter('verify', item, statSync(file).size)
    await verifyWheel(file, wheel, count, this.#options.signal)
  }

  async #extract(
    contents: Contents,
    companions: readonly string[],
    flavor: Flavor,
  ): Promise<number> {
    const archives = []
    try {
      const members: Member[] = [...contents.members(flavor)]
      for (const file of companions) {
        const archive = await openCompanion(file, flavor)
        archives.push(archive)
        members.push(...archive.members)
      }
      const given = this.#source.kind === 'pip' ? 'The torch wheel' : this.#source.given
      checkMembers(members, given, this.#verified ? Infinity : this.#mostBytes(flavor))
      const sizeBytes = members.reduce((sum, member) => sum + member.sizeBytes, 0)
      await requireSpace(this.#staging, sizeBytes * SPACE_MARGIN)
      const item = `LibTorch ${contents.version} (${flavor})`
      const count = this.#counter('extract', item, sizeBytes)
      await writeMembers(members, this.#unpacked, count, this.#options.signal)
      return sizeBytes
    } finally {
      for (const archive of archives) archive.close()
    }
  }

  /** Of an archive that is not known by its sum: with room for builds that are larger than ours. */
  #mostBytes(flavor: Flavor): number {
    return UNKNOWN_SLACK_BYTES + UNKNOWN_FACTOR * this.#manifest.installedBytes[flavor]
  }

  async #finish(contents: Contents, flavor: Flavor, sizeBytes: number): Promise<InstallResult> {
    const root = path.join(this.#unpacked, 'torch')
    const { status, reason } = inspectLibtorch(root, 'cache', this.#manifest)
    if (status !== 'ok') {
      throw new LocalformerError('ERR_LIBTORCH_NOT_FOUND', `The unpacked LibTorch ${reason}`)
    }
    checkLibraries(root, flavor)
    const source = this.#source
    const receipt: Receipt = {
      schema: 1,
      version: contents.version,
      flavor,
      source: source.kind === 'pip' ? 'pip' : contents.kind,
      from: source.kind === 'pip' ? null : source.kind === 'url' ? source.url.href : source.path,
      verified: this.#verified,
      sizeBytes,
      installedAt: new Date().toISOString(),
    }
    const file = path.join(this.#unpacked, RECEIPT)
    await writeFile(file, `${JSON.stringify(receipt, null, 2)}\n`)
    await flush(file)
    this.#options.signal?.throwIfAborted()
    const cache = libtorchCache(this.#options.cache)
    const directory = path.join(cache, installationName(this.#manifest.version, flavor))
    await publish(this.#unpacked, directory)
    const { schema, ...facts } = receipt
    return { ...facts, root: path.join(directory, 'torch'), directory, alreadyInstalled: false }
  }

  #say(note: string) {
    this.#options.onNote?.(note)
  }

  #reporter(phase: InstallProgress['phase'], item: string) {
    const { onProgress } = this.#options
    return (doneBytes: number, totalBytes: number) =>
      onProgress?.({ phase, item, doneBytes, totalBytes })
  }

  #counter(phase: InstallProgress['phase'], item: string, totalBytes: number) {
    const report = this.#reporter(phase, item)
    let doneBytes = 0
    return (bytes: number) => {
      doneBytes += bytes
      report(doneBytes, totalBytes)
    }
  }
}

function requirePlatform({ version }: LibtorchManifest): void {
  if (process.platform === 'linux' && process.arch === 'x64') return
  throw new LocalformerError(
    'ERR_LIBTORCH_NOT_FOUND',
    `There is no pinned LibTorch ${version} for ${process.platform} on ${process.arch}`,
    { hint: 'This package runs on Linux x64.' },
  )
}

/**
 * What comes from a host is taken where its sum is known: a pinned wheel by its name, or one that was
 * given. Told before half a gigabyte is fetched.
 */
function checkTrust(source: Source, { sha256, trust, manifest = MANIFEST }: InstallOptions): void {
  if (trust !== undefined && typeof trust !== 'boolean') {
    throw new LocalformerError('ERR_CONFIG', expected('true or false', 'trust', trust))
  }
  if (sha256 !== undefined && !(typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256))) {
    throw new LocalformerError('ERR_CONFIG', expected('64 hexadecimal digits', 'sha256', sha256))
  }
  const isFile = source.kind === 'url' || (source.kind === 'path' && !isFolder(source.path))
  if (sha256 !== undefined && !isFile) {
    throw new LocalformerError(
      'ERR_CONFIG',
      'A `sha256` is that of a file or URL given with `from`',
    )
  }
  if (source.kind !== 'url' || sha256 !== undefined || trust === true) return
  requireNetwork(source.url.href)
  const name = path.posix.basename(source.url.pathname)
  if (manifest.wheels.some(({ file }) => file === decodeName(name))) return
  throw new LocalformerError(
    'ERR_CHECKSUM',
    `${source.given} is none of the pinned wheels, so what it gives cannot be checked`,
    {
      hint:
        'Give the sum that its publisher names with --sha256, or --trust to take whatever comes: ' +
        'it is code that runs in this process. Without --from the pinned wheels are fetched.',
    },
  )
}

function isFolder(place: string): boolean {
  return statSync(place).isDirectory()
}

function parseSource(from: string | undefined): Source {
  if (from === undefined) return { kind: 'pip' }
  if (typeof from !== 'string' || from === '') {
    throw new LocalformerError('ERR_CONFIG', expected('a path or a URL', 'from', from))
  }
  let file = from
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(from)) {
    const url = URL.canParse(from) ? new URL(from) : undefined
    if (url && /^https?:$/.test(url.protocol)) return { kind: 'url', url, given: from }
    if (url?.protocol !== 'file:') {
      const what = 'a path or an http, https or file URL'
      throw new LocalformerError('ERR_CONFIG', expected(what, 'from', from))
    }
    file = fileURLToPath(url)
  }
  const resolved = path.resolve(file)
  if (!existsSync(resolved)) {
    const message = `${expected('a wheel, a LibTorch zip, a folder or a URL', 'from', from)}`
    throw new LocalformerError('ERR_CONFIG', `${message}: ${resolved} does not exist`)
  }
  return { kind: 'path', path: resolved, given: from }
}

/** Nothing is to be done where that flavor is there, unless `force` is set. */
function findInstalled(flavor: Flavor, options: InstallOptions): InstallResult | undefined {
  if (options.force) return undefined
  const { version } = options.manifest ?? MANIFEST
  const folder = libtorchCache(options.cache)
  const found = readInstalled(path.join(folder, installationName(version, flavor)))
  return found && { ...found, alreadyInstalled: true }
}

/** What is installed in a folder of the cache; undefined where its receipt is missing or damaged. */
export function readInstalled(directory: string): InstalledLibtorch | undefined {
  try {
    const receipt: unknown = JSON.parse(readFileSync(path.join(directory, RECEIPT), 'utf8'))
    if (!isReceipt(receipt)) return undefined
    const { schema, ...facts } = receipt
    return { ...facts, root: path.join(directory, 'torch'), directory }
  } catch {
    return undefined
  }
}

function isReceipt(value: unknown): value is Receipt {
  if (typeof value !== 'object' || value === null) return false
  const { version, flavor, source, from, verified, sizeBytes } = value as Partial<Receipt>
  return (
    typeof version === 'string' &&
    FLAVORS.includes(flavor as Flavor) &&
    typeof source === 'string' &&
    (from === null || typeof from === 'string') &&
    typeof verified === 'boolean' &&
    typeof sizeBytes === 'number'
  )
}

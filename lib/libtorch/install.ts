// Installs LibTorch into the cache: pip, a wheel, an official zip, a URL or a folder -> a staging
// folder in the cache -> checked -> renamed into place, with a receipt (receipt.ts).
// Pins: manifest.ts. Where it is looked for afterwards: locate.ts.
import { existsSync, statSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { hashFile } from '../base/download.js'
import { LocalformerError } from '../base/errors.js'
import { publish, requireSpace, withLockedCache, withStaging } from './cache.js'
import { downloadUrl, downloadWheel, findPip, requireNetwork } from './download.js'
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
  CUDA_HEADERS,
  downloadBytes,
  type Flavor,
  HEADER_PROJECTS,
  isHeaderOrLicense,
  isKept,
  type LibtorchManifest,
  MANIFEST,
  type WheelSpec,
  wheelsOf,
} from './manifest.js'
import { type InstalledLibtorch, type Receipt, readInstalled } from './receipt.js'
import { checkTrust, parseSource, type Source } from './source.js'
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
  checkTrust(source, options, options.manifest ?? MANIFEST)
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

// Room for what is not in the sizes: folders and the rounding of small files to blocks.
const SPACE_MARGIN = 1.1
const UNKNOWN_FACTOR = 4
const UNKNOWN_SLACK_BYTES = 64 * 2 ** 20

/** A wheel that is unpacked beside torch, as far as its files are wanted. */
interface Companion {
  readonly file: string
  /** By the file's path in an installation. */
  keeps(target: string): boolean
}

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
      const members = [...contents.members(flavor)]
      const companions = isBare(contents)
        ? await this.#fetchCompanions(flavor)
        : await this.#fetchHeaders(members, flavor)
      const sizeBytes = await this.#extract(contents, members, companions, flavor)
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

  /** The nvidia wheels that a torch wheel built with CUDA needs. */
  async #fetchCompanions(flavor: Flavor): Promise<readonly Companion[]> {
    const [, ...companions] = wheelsOf(flavor, this.#manifest)
    return this.#fetchAll(companions, (target) => isKept(target, flavor))
  }

  /**
   * Other sources bring their libraries, but seldom CUDA's headers. Only the addon's build needs
   * these, so that an install without them is none that failed.
   */
  async #fetchHeaders(members: readonly Member[], flavor: Flavor): Promise<readonly Companion[]> {
    const present = new Set(members.map(({ target }) => target))
    if (flavor === 'cpu' || CUDA_HEADERS.every((header) => present.has(header))) return []
    const wheels = this.#manifest.wheels.filter(({ project }) => HEADER_PROJECTS.includes(project))
    try {
      return await this.#fetchAll(
        wheels,
        (target) => isHeaderOrLicense(target) && !present.has(target),
      )
    } catch (error) {
      const isMissing = error instanceof LocalformerError && error.code === 'ERR_LIBTORCH_NOT_FOUND'
      if (!isMissing) throw error
      const names = wheels.map(({ file }) => file).join(' and ')
      this.#say(
        "CUDA's headers are not in it and could not be fetched, so the addon's CUDA part cannot be " +
          `built with it (${error.message.split('\n')[0]}). To mend that, put ${names} beside ` +
          'what --from names and install it again with --force',
      )
      return []
    }
  }

  async #fetchAll(
    wheels: readonly WheelSpec[],
    keeps: Companion['keeps'],
  ): Promise<readonly Companion[]> {
    const companions: Companion[] = []
    for (const wheel of wheels) companions.push({ file: await this.#fetchWheel(wheel), keeps })
    return companions
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
    own: readonly Member[],
    companions: readonly Companion[],
    flavor: Flavor,
  ): Promise<number> {
    const archives = []
    try {
      const members = [...own]
      for (const { file, keeps } of companions) {
        const archive = await openCompanion(file, keeps)
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

/** A wheel whose CUDA libraries are wheels of their own. */
function isBare({ kind, cuda }: Contents): boolean {
  return kind === 'wheel' && cuda !== null
}

function requirePlatform({ version }: LibtorchManifest): void {
  if (process.platform === 'linux' && process.arch === 'x64') return
  throw new LocalformerError(
    'ERR_LIBTORCH_NOT_FOUND',
    `There is no pinned LibTorch ${version} for ${process.platform} on ${process.arch}`,
    { hint: 'This package runs on Linux x64.' },
  )
}

/** Nothing is to be done where that flavor is there, unless `force` is set. */
function findInstalled(flavor: Flavor, options: InstallOptions): InstallResult | undefined {
  if (options.force) return undefined
  const { version } = options.manifest ?? MANIFEST
  const folder = libtorchCache(options.cache)
  const found = readInstalled(path.join(folder, installationName(version, flavor)))
  return found && { ...found, alreadyInstalled: true }
}

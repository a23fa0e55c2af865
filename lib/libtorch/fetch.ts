// Brings what an install unpacks: the source itself, opened and checked, and the wheels that belong beside
// it. in: options and an empty folder -> out: contents, files of companions, and whether all was verified.
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { hashFile } from '../base/download.js'
import { LocalformerError } from '../base/errors.js'
import { requireSpace } from './cache.js'
import { downloadUrl, downloadWheel, findPip, requireNetwork } from './download.js'
import { counter, type InstallOptions, reporter, SPACE_MARGIN } from './install-options.js'
import { findRoot, isPinnedVersion } from './locate.js'
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
import type { Source } from './source.js'
import { type Contents, type Member, openArchive, openFolder, verifyWheel } from './unpack.js'

/** A wheel that is unpacked beside torch, as far as its files are wanted. */
export interface Companion {
  readonly file: string
  /** By the file's path in an installation. */
  keeps(target: string): boolean
}

/** What is fetched for one install, into a folder that is removed after it. */
export class Fetcher {
  readonly #options: InstallOptions
  readonly #manifest: LibtorchManifest
  readonly #source: Source
  readonly #folder: string
  #verified = true
  #hasCheckedSpace = false
  #pipCommand: Promise<readonly string[]> | undefined

  constructor(options: InstallOptions, source: Source, folder: string) {
    this.#options = options
    this.#manifest = options.manifest ?? MANIFEST
    this.#source = source
    this.#folder = folder
  }

  /** Has every file that was opened so far had a sha256 to be checked against? */
  get verified(): boolean {
    return this.#verified
  }

  /** The source, opened: fetched where it is not on this machine, of the right version. */
  async open(): Promise<Contents> {
    const source = this.#source
    if (source.kind === 'pip') {
      requirePlatform(this.#manifest)
      const [torch] = this.#manifest.wheels
      if (!torch) throw new LocalformerError('ERR_CONFIG', 'The manifest has no wheels')
      return openArchive(await this.#fetchWheel(torch))
    }
    if (source.kind === 'url') {
      const item = source.url.pathname.split('/').at(-1) ?? source.url.href
      const report = reporter(this.#options, 'download', item)
      const signal = this.#options.signal
      const file = await downloadUrl(source.url, this.#folder, report, signal)
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
    this.#options.onNote?.(
      `${source.given} is a folder, whose files have no sha256 to be checked against`,
    )
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
    const count = counter(this.#options, 'verify', path.basename(file), statSync(file).size)
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
    this.#options.onNote?.(
      `${given} is none of the pinned wheels, so its sha256 (${sha256}) was not checked`,
    )
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

  /** The wheels to be unpacked beside the source's own files, `members`. */
  async companions(
    contents: Contents,
    members: readonly Member[],
    flavor: Flavor,
  ): Promise<readonly Companion[]> {
    return isBare(contents) ? this.#fetchCompanions(flavor) : this.#fetchHeaders(members, flavor)
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
      this.#options.onNote?.(
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
      this.#folder,
      reporter(this.#options, 'download', `${wheel.project} ${wheel.version}`),
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
    await requireSpace(this.#folder, bytes * SPACE_MARGIN)
  }

  async #verify(file: string, wheel: WheelSpec): Promise<void> {
    const item = `${wheel.project} ${wheel.version}`
    const count = counter(this.#options, 'verify', item, statSync(file).size)
    await verifyWheel(file, wheel, count, this.#options.signal)
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

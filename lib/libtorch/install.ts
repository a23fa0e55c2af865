// Installs LibTorch into the cache: pip, a wheel, an official zip, a URL or a folder -> a staging
// folder in the cache -> checked -> renamed into place, with a receipt (receipt.ts).
// Pins: manifest.ts. Where it is looked for afterwards: locate.ts.
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { publish, requireSpace, withLockedCache, withStaging } from './cache.js'
import { type Companion, Fetcher } from './fetch.js'
import { counter, type InstallOptions, SPACE_MARGIN } from './install-options.js'
import { checkLibraries } from './libraries.js'
import { checkFlavor, inspectLibtorch, installationName, libtorchCache, RECEIPT } from './locate.js'
import { type Flavor, type LibtorchManifest, MANIFEST } from './manifest.js'
import { type InstalledLibtorch, type Receipt, readInstalled } from './receipt.js'
import { checkTrust, parseSource, type Source } from './source.js'
import {
  type Contents,
  checkMembers,
  flush,
  type Member,
  openCompanion,
  writeMembers,
} from './unpack.js'

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

const UNKNOWN_FACTOR = 4
const UNKNOWN_SLACK_BYTES = 64 * 2 ** 20

/** The steps of one install; all it writes is in `staging`. */
class Installation {
  readonly #options: InstallOptions
  readonly #manifest: LibtorchManifest
  readonly #source: Source
  readonly #staging: string
  readonly #fetcher: Fetcher

  constructor(options: InstallOptions, source: Source, staging: string) {
    this.#options = options
    this.#manifest = options.manifest ?? MANIFEST
    this.#source = source
    this.#staging = staging
    this.#fetcher = new Fetcher(options, source, this.#downloads)
  }

  async run(): Promise<InstallResult> {
    await mkdir(this.#downloads)
    await mkdir(this.#unpacked)
    const contents = await this.#fetcher.open()
    try {
      const flavor = this.#chooseFlavor(contents)
      const present = findInstalled(flavor, this.#options)
      if (present) return present
      const members = [...contents.members(flavor)]
      const companions = await this.#fetcher.companions(contents, members, flavor)
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
      checkMembers(members, given, this.#fetcher.verified ? Infinity : this.#mostBytes(flavor))
      const sizeBytes = members.reduce((sum, member) => sum + member.sizeBytes, 0)
      await requireSpace(this.#staging, sizeBytes * SPACE_MARGIN)
      const item = `LibTorch ${contents.version} (${flavor})`
      const count = counter(this.#options, 'extract', item, sizeBytes)
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
      verified: this.#fetcher.verified,
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
}

/** Nothing is to be done where that flavor is there, unless `force` is set. */
function findInstalled(flavor: Flavor, options: InstallOptions): InstallResult | undefined {
  if (options.force) return undefined
  const { version } = options.manifest ?? MANIFEST
  const folder = libtorchCache(options.cache)
  const found = readInstalled(path.join(folder, installationName(version, flavor)))
  return found && { ...found, alreadyInstalled: true }
}

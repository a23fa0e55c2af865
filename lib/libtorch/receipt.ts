// What is installed in the cache, by the receipt that each installation holds: what came from where.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { retire, withLockedCache } from './cache.js'
import { checkFlavor, libtorchCache, RECEIPT } from './locate.js'
import { FLAVORS, type Flavor } from './manifest.js'

export interface CacheOptions {
  readonly flavor?: Flavor | undefined
  readonly cache?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What came from where, as it is written into the installation. */
export interface Receipt {
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

// What `--from` names: a path, a URL, or nothing, which is the pip client; and whether what a host gives
// may be taken.
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expected, LocalformerError } from '../base/errors.js'
import { decodeName, requireNetwork } from './download.js'
import type { LibtorchManifest } from './manifest.js'

export type Source =
  | { readonly kind: 'pip' }
  | { readonly kind: 'url'; readonly url: URL; readonly given: string }
  | { readonly kind: 'path'; readonly path: string; readonly given: string }

/** What is said beside `from` about whether it may be taken. */
export interface TrustOptions {
  readonly sha256?: string | undefined
  readonly trust?: boolean | undefined
}

/**
 * What comes from a host is taken where its sum is known: a pinned wheel by its name, or one that was
 * given. Told before half a gigabyte is fetched.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for a wrong option, `ERR_CHECKSUM`.
 */
export function checkTrust(
  source: Source,
  { sha256, trust }: TrustOptions,
  manifest: LibtorchManifest,
): void {
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

/** @throws {LocalformerError} `ERR_CONFIG` for what is neither a path that exists nor a URL. */
export function parseSource(from: string | undefined): Source {
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

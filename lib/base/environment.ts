// Every environment variable the package reads, read here and nowhere else.
// Read at the time of the call, so that a script may set one before its first use.
import { homedir } from 'node:os'
import path from 'node:path'

/** The package's cache: `LOCALFORMER_CACHE`, else `$XDG_CACHE_HOME/localformer`, else `~/.cache/localformer`. */
export function cacheDirectory(): string {
  const own = process.env.LOCALFORMER_CACHE
  if (own) return path.resolve(own)
  const xdg = process.env.XDG_CACHE_HOME
  // The XDG base directory specification says to ignore a relative path.
  const base = xdg && path.isAbsolute(xdg) ? xdg : path.join(homedir(), '.cache')
  return path.join(base, 'localformer')
}

/** `LOCALFORMER_OFFLINE=1`: the network is never touched. */
export function isOffline(): boolean {
  return isSet(process.env.LOCALFORMER_OFFLINE)
}

/** `LOCALFORMER_DEBUG=1`: errors carry native backtraces and the command line prints stacks. */
export function isDebug(): boolean {
  return isSet(process.env.LOCALFORMER_DEBUG)
}

/** `LOCALFORMER_LIBTORCH`, a folder with LibTorch as `lib/` and `include/`. */
export function libtorchOverride(): string | undefined {
  return process.env.LOCALFORMER_LIBTORCH || undefined
}

/** `LIBTORCH`, the variable that other LibTorch bindings read. */
export function libtorchShared(): string | undefined {
  return process.env.LIBTORCH || undefined
}

/** The folders of `LD_LIBRARY_PATH`. */
export function librarySearchPath(): readonly string[] {
  return (process.env.LD_LIBRARY_PATH ?? '').split(path.delimiter).filter(Boolean)
}

/**
 * The proxy for a URL, or '' for none: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in
 * small letters too, as curl reads them.
 */
export async function proxyFor(url: string): Promise<string> {
  // Loaded where it is used: only a download needs it.
  const { getProxyForUrl } = await import('proxy-from-env')
  return getProxyForUrl(url)
}

/** `NO_COLOR` (any non-empty value) or a dumb terminal turns colours off. */
export function wantsColor(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
}

/** A continuous-integration run: plain progress lines instead of a live one. */
export function isContinuousIntegration(): boolean {
  return isSet(process.env.CI)
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value.toLowerCase() !== 'false'
}

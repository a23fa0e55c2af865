// What an install is asked for and what it tells while it works.
import type { Flavor, LibtorchManifest } from './manifest.js'

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

/** Room for what is not in the sizes: folders and the rounding of small files to blocks. */
export const SPACE_MARGIN = 1.1

/** Tells `onProgress` how many bytes of `item` are done. */
export function reporter(
  { onProgress }: InstallOptions,
  phase: InstallProgress['phase'],
  item: string,
) {
  return (doneBytes: number, totalBytes: number) =>
    onProgress?.({ phase, item, doneBytes, totalBytes })
}

/** The same, told how many more there are since the last call. */
export function counter(
  options: InstallOptions,
  phase: InstallProgress['phase'],
  item: string,
  totalBytes: number,
) {
  const report = reporter(options, phase, item)
  let doneBytes = 0
  return (bytes: number) => {
    doneBytes += bytes
    report(doneBytes, totalBytes)
  }
}

// The LibTorch that scripts build against: the one that is found, else one is installed that serves a
// simulated CUDA device too, so that the addon's CUDA part is built and tested without a GPU.
import { isOffline, libtorchOverride, libtorchShared } from '../../lib/base/environment.js'
import { LocalformerError } from '../../lib/base/errors.js'
import { installUpdate, type Progress } from '../../lib/cli/progress.js'
import { installLibtorch } from '../../lib/libtorch/install.js'
import { type LibtorchLocation, locateLibtorch } from '../../lib/libtorch/locate.js'
import { type LibtorchManifest, MANIFEST } from '../../lib/libtorch/manifest.js'

export interface EnsureOptions {
  readonly progress: Progress
  readonly say: (note: string) => void
  /** What is pinned. Default: `MANIFEST`. */
  readonly manifest?: LibtorchManifest
}

/**
 * Finds LibTorch with its headers. Where the cache has none, or only one for the CPU, the flavor
 * `simulated` is installed there; one for the CPU will do where that cannot be had. A variable that
 * names a LibTorch decides.
 *
 * @throws {LocalformerError} as `locateLibtorch` and `installLibtorch` do; `ERR_LIBTORCH_NOT_FOUND`
 *   for one without headers.
 */
export async function ensureLibtorch(options: EnsureOptions): Promise<LibtorchLocation> {
  const found = locate(options)
  const location = found === undefined ? await install(options) : await improve(found, options)
  if (location.include !== undefined) return location
  throw new LocalformerError(
    'ERR_LIBTORCH_NOT_FOUND',
    `The LibTorch at ${location.root} has no headers (include/), so nothing can be built with it`,
    { hint: '`localformer libtorch install --force` installs one with headers into the cache.' },
  )
}

function locate({ manifest = MANIFEST }: EnsureOptions): LibtorchLocation | undefined {
  try {
    return locateLibtorch({ manifest })
  } catch (error) {
    // Where a variable decides, an installed one would not be looked at.
    const isDecided = (libtorchOverride() ?? libtorchShared()) !== undefined
    const isMissing = error instanceof LocalformerError && error.code === 'ERR_LIBTORCH_NOT_FOUND'
    if (isMissing && !isDecided) return undefined
    throw error
  }
}

async function improve(found: LibtorchLocation, options: EnsureOptions): Promise<LibtorchLocation> {
  if (found.source !== 'cache' || found.flavor !== 'cpu' || isOffline()) return found
  try {
    return await install(options)
  } catch (error) {
    if (!(error instanceof LocalformerError)) throw error
    options.say(`Going on with the LibTorch for the CPU in ${found.root}: ${error.message}`)
    return found
  }
}

async function install(options: EnsureOptions): Promise<LibtorchLocation> {
  const { progress, say, manifest = MANIFEST } = options
  await installLibtorch({
    flavor: 'simulated',
    manifest,
    onProgress: (step) => progress.update(installUpdate(step)),
    onNote: (text) => {
      progress.finish()
      say(text)
    },
  }).finally(() => progress.finish())
  return locateLibtorch({ manifest })
}

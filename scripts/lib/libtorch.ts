// The LibTorch that scripts build against: the one that is found, else the CPU one is installed.

import { libtorchOverride, libtorchShared } from '../../lib/base/environment.js'
import { LocalformerError } from '../../lib/base/errors.js'
import { installUpdate, type Progress } from '../../lib/cli/progress.js'
import { installLibtorch } from '../../lib/libtorch/install.js'
import { type LibtorchLocation, locateLibtorch } from '../../lib/libtorch/locate.js'

/**
 * Finds LibTorch with its headers; installs the CPU flavor into the cache when there is none.
 *
 * @throws {LocalformerError} as `locateLibtorch` and `installLibtorch` do; `ERR_LIBTORCH_NOT_FOUND`
 *   for one without headers.
 */
export async function ensureLibtorch(progress: Progress): Promise<LibtorchLocation> {
  const location = locate() ?? (await install(progress))
  if (location.include !== undefined) return location
  throw new LocalformerError(
    'ERR_LIBTORCH_NOT_FOUND',
    `The LibTorch at ${location.root} has no headers (include/), so nothing can be built with it`,
    { hint: '`localformer libtorch install --force` installs one with headers into the cache.' },
  )
}

function locate(): LibtorchLocation | undefined {
  try {
    return locateLibtorch()
  } catch (error) {
    // Where a variable decides, an installed one would not be looked at.
    const isDecided = (libtorchOverride() ?? libtorchShared()) !== undefined
    const isMissing = error instanceof LocalformerError && error.code === 'ERR_LIBTORCH_NOT_FOUND'
    if (isMissing && !isDecided) return undefined
    throw error
  }
}

async function install(progress: Progress): Promise<LibtorchLocation> {
  await installLibtorch({
    flavor: 'cpu',
    onProgress: (step) => progress.update(installUpdate(step)),
    onNote: (text) => {
      progress.finish()
      process.stderr.write(`${text}\n`)
    },
  }).finally(() => progress.finish())
  return locateLibtorch()
}

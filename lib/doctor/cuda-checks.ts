// What `localformer doctor` says of CUDA: the addon's CUDA part and the simulated device.
import { cudaLibraryLack, simulationLack } from '../libtorch/cuda-library.js'
import type { LibtorchLocation } from '../libtorch/locate.js'
import type { Flavor } from '../libtorch/manifest.js'
import { type Check, ok, warn } from './check.js'

/**
 * @param addon The folder of localformer.node; undefined where there is none.
 * @param hasDevice Is there an NVIDIA driver?
 */
export function checkCudaParts(
  location: LibtorchLocation,
  addon: string | undefined,
  hasDevice: boolean,
): Check[] {
  const simulation = checkSimulation(location)
  // Without a device, a LibTorch without CUDA has no use for the library.
  const isWanted = hasDevice || location.libraries.torchCuda !== undefined
  return isWanted && addon !== undefined
    ? [checkLibrary(location, addon, hasDevice ? 'cuda' : 'simulated'), simulation]
    : [simulation]
}

function checkLibrary(location: LibtorchLocation, addon: string, wanted: Flavor): Check {
  const name = 'cuda library'
  const lack = cudaLibraryLack(location, addon, wanted)
  if (lack === undefined) return ok(name, `in ${addon}`)
  return warn(name, lack.reason, `${lack.fix} (in a checkout)`)
}

function checkSimulation(location: LibtorchLocation): Check {
  const name = 'simulated device'
  const lack = simulationLack(location)
  if (lack !== undefined) return warn(name, lack.reason, lack.fix)
  return ok(name, `served by LibTorch ${location.version} (${location.flavor})`)
}

// liblocalformer_cuda.so is the part of the addon that is built against CUDA's headers. Which LibTorch
// can it be built with, is it there, and if not, which commands mend it?
import { existsSync } from 'node:fs'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import type { LibtorchLocation } from './locate.js'
import type { Flavor } from './manifest.js'
import { readInstalled } from './receipt.js'

export const CUDA_LIBRARY = 'liblocalformer_cuda.so'

/** Something that is not there. */
export interface Lack {
  /** What, as a phrase. */
  readonly reason: string
  /** The commands that mend it. */
  readonly fix: string
}

const INSTALL = 'npx localformer libtorch install --flavor'

/**
 * A simulated CUDA device runs on LibTorch's CUDA build, with or without NVIDIA's libraries.
 *
 * @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND` for a LibTorch that was built or installed
 *   without it, with what is missing and what installs one.
 */
export function requireSimulated(location: LibtorchLocation): void {
  const lack = simulationLack(location)
  if (lack === undefined) return
  throw new LocalformerError(
    'ERR_LIBTORCH_NOT_FOUND',
    `A simulated CUDA device needs LibTorch's CUDA build, but ${lack.reason}`,
    { hint: `Install it with \`${lack.fix}\`.` },
  )
}

/**
 * Why a simulated device cannot run on a LibTorch; undefined where it can.
 *
 * @param wanted The flavor that mends it.
 */
export function simulationLack(
  location: LibtorchLocation,
  wanted: Flavor = 'simulated',
): Lack | undefined {
  const { root, version, libraries } = location
  if (libraries.torchCuda !== undefined) return undefined
  const missing = ['lib/libtorch_cuda.so', 'lib/libc10_cuda.so'].filter(
    (name) => !existsSync(path.join(root, name)),
  )
  const reason = `LibTorch ${version} in ${root} has no ${missing.join(' and no ')}`
  return { reason, fix: `${unset(location)}${INSTALL} ${wanted}` }
}

/** Why liblocalformer_cuda.so cannot be built with a LibTorch; undefined where it can. */
export function cudaBuildLack(location: LibtorchLocation, wanted?: Flavor): Lack | undefined {
  const lack = simulationLack(location, wanted)
  if (lack !== undefined || location.cudaInclude !== undefined) return lack
  const reason =
    `LibTorch ${location.version} in ${location.root} came without CUDA's headers ` +
    '(cuda_runtime_api.h and crt/host_defines.h in ../nvidia/cu13/include)'
  return { reason, fix: installWithHeaders(location) }
}

/**
 * Why there is no liblocalformer_cuda.so in the addon's folder; undefined where there is one.
 *
 * @param addon The folder of localformer.node.
 * @param wanted The flavor that mends a LibTorch without CUDA.
 */
export function cudaLibraryLack(
  location: LibtorchLocation,
  addon: string,
  wanted?: Flavor,
): Lack | undefined {
  if (existsSync(path.join(addon, CUDA_LIBRARY))) return undefined
  const lack = cudaBuildLack(location, wanted)
  const absent = `${CUDA_LIBRARY} is not in ${addon}`
  if (lack === undefined) return { reason: absent, fix: 'npm run native' }
  return { reason: `${absent}: ${lack.reason}`, fix: `${lack.fix} && npm run native` }
}

/**
 * What a CUDA device's properties, snapshots and limits are asked of.
 *
 * @throws {LocalformerError} `ERR_ADDON_LOAD` where the addon's folder has none.
 */
export function requireCudaLibrary(location: LibtorchLocation, addon: string): void {
  const lack = cudaLibraryLack(location, addon, 'cuda')
  if (lack === undefined) return
  throw new LocalformerError('ERR_ADDON_LOAD', `The addon has no CUDA part: ${lack.reason}`, {
    hint: `In a checkout, \`${lack.fix}\` mends it.`,
  })
}

// Again from where it came, if that is still there: an install fetches the headers that it lacks.
function installWithHeaders(location: LibtorchLocation): string {
  const { root, source, flavor } = location
  if (source !== 'cache') return `${unset(location)}${installFrom(flavor, root)}`
  const from = readInstalled(path.dirname(root))?.from
  const known = from && existsSync(from) ? installFrom(flavor, from) : `${INSTALL} ${flavor}`
  return `${known} --force`
}

function installFrom(flavor: Flavor, from: string): string {
  return `${INSTALL} ${flavor} --from ${quoted(from)}`
}

/** A variable that is set decides before the cache does. */
function unset({ source }: LibtorchLocation): string {
  const isVariable = source === 'LOCALFORMER_LIBTORCH' || source === 'LIBTORCH'
  return isVariable ? `unset ${source} && ` : ''
}

function quoted(file: string): string {
  return /^[\w./+:@%=-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`
}

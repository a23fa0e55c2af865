// Finds and loads the addon and LibTorch, once in each thread, when first needed.
// in: the package's prebuilt or freshly built libraries -> out: NativeTorch (contract.ts).
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { coresAllowed } from '../base/control-group.js'
import { setsThreads } from '../base/environment.js'
import { ERROR_CODES, type ErrorCode, LocalformerError } from '../base/errors.js'
import { checkKeys } from '../base/validate.js'
import { requireCudaLibrary, requireSimulated } from '../libtorch/cuda-library.js'
import { type LibtorchLocation, locateLibtorch } from '../libtorch/locate.js'
import { type Card, cardNamed } from '../simulated/cards.js'
import { cardText, MADE_FOR, standIns } from '../simulated/stand-ins.js'
import { NATIVE_EXPORTS, type NativeCuda, type NativeLoader, type NativeTorch } from './contract.js'

export interface LoadOptions {
  /** A folder with LibTorch; default: the lookup order of `localformer libtorch where`. */
  readonly libtorch?: string
  /**
   * A CUDA card to simulate: `rtx3060`, `h100` and others, or a size and an architecture
   * (`12GiB,sm_86`). LibTorch's own CUDA allocator then runs without a GPU and nothing is computed:
   * memory and calls are right, values are zeros. Only the first load of a process can ask for it.
   */
  readonly simulate?: string
}

interface Loaded {
  readonly torch: NativeTorch
  readonly location: LibtorchLocation
  /** Folder of the addon's two libraries. */
  readonly addon: string
  /** The card that this process simulates. */
  readonly card: Card | undefined
}

let loaded: Loaded | undefined

/**
 * Loads LibTorch and the addon now rather than at the first use; later calls return at once.
 *
 * @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND`, `ERR_LIBTORCH_VERSION`, `ERR_ADDON_LOAD`;
 *   `ERR_CONFIG` for a card that is not known, or where another LibTorch or card is loaded already.
 */
export function load(options: LoadOptions = {}): void {
  loadTorch(options)
}

/** The loaded addon. */
export function loadTorch(options: LoadOptions = {}): NativeTorch {
  return loadAll(options).torch
}

/** The loaded addon with where it and LibTorch came from. */
export function loadAll(options: LoadOptions = {}): Loaded {
  checkKeys(options, 'options', ['libtorch', 'simulate'])
  const wanted = options.simulate === undefined ? undefined : cardNamed(options.simulate)
  if (loaded) return sameAs(loaded, options, wanted)
  const location = locateLibtorch({ path: options.libtorch })
  const addon = findAddon()
  const card = wanted ?? cardOfProcess(addon)
  if (card !== undefined) simulate(addon, location, card)
  const torch = open(addon, location, card !== undefined)
  const missing = NATIVE_EXPORTS.filter((name) => typeof torch[name] !== 'function')
  if (missing.length > 0) {
    throw new LocalformerError(
      'ERR_ADDON_LOAD',
      `The addon in ${addon} lacks ${missing.join(', ')}: it was built from another version`,
      { hint: 'Build it again with `npm run native`, or install the package again.' },
    )
  }
  keepToCores(torch)
  loaded = { torch, location, addon, card }
  return loaded
}

// LibTorch takes a thread for each physical core. Where a control group gives less time than that, as a
// container's limit does, threads are stopped while others wait for them.
function keepToCores(torch: NativeTorch): void {
  torch.limitThreads(setsThreads() ? torch.threads() : coresAllowed())
}

/** What a process that is to compute as this one does is told; undefined before LibTorch is loaded. */
export function settingsOfProcess(): { libtorch: string; threads: number } | undefined {
  return loaded && { libtorch: loaded.location.root, threads: loaded.torch.threads() }
}

/** The card that another thread of this process has asked for. */
function cardOfProcess(addon: string): Card | undefined {
  const key = inLoader(() => loaderOf(addon).simulated())
  return key === undefined ? undefined : cardNamed(key)
}

/**
 * The card that this process simulates, whichever of its threads has asked for it; undefined before
 * any has. Loads the addon's loader alone.
 */
export function simulatedCard(): Card | undefined {
  if (loaded !== undefined) return loaded.card
  try {
    return cardOfProcess(findAddon())
  } catch {
    // Without an addon there is none; whoever needs one is told.
    return undefined
  }
}

const CARD_FIRST = 'Choose the card before anything else is called, in a process of its own.'

// One process has one LibTorch.
function sameAs(current: Loaded, { libtorch }: LoadOptions, card: Card | undefined): Loaded {
  const { root } = current.location
  if (card !== undefined && card.key !== current.card?.key) {
    const now =
      current.card === undefined ? 'without a simulated card' : `with ${current.card.name}`
    throw new LocalformerError(
      'ERR_CONFIG',
      `LibTorch was loaded ${now} already, and a process has one: ${card.name} cannot be simulated in it`,
      { hint: CARD_FIRST },
    )
  }
  if (libtorch === undefined || locateLibtorch({ path: libtorch }).root === root) return current
  throw new LocalformerError(
    'ERR_CONFIG',
    `LibTorch was loaded from ${root} already, not ${libtorch}`,
  )
}

/** A device node of the NVIDIA driver, or undefined where this machine has none. */
export function nvidiaDevice(): string | undefined {
  return NVIDIA_NODES.find((node) => existsSync(node))
}

/** What {@link nvidiaDevice} looks for: the driver's control node, and WSL's. */
export const NVIDIA_NODES = ['/dev/nvidiactl', '/dev/dxg'] as const

const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..')
const require = createRequire(import.meta.url)

/** Folder of localformer.node: build/Release in a checkout, prebuilds/<platform> when installed. */
export function findAddon(): string {
  const nodeGypBuild = require('node-gyp-build') as { resolve(root: string): string }
  try {
    return path.dirname(nodeGypBuild.resolve(packageRoot))
  } catch (cause) {
    throw new LocalformerError(
      'ERR_ADDON_LOAD',
      `No addon for ${process.platform}-${process.arch} was found in ${packageRoot}`,
      {
        cause,
        hint:
          'A release has prebuilt binaries for linux-x64 (glibc). In a checkout, run `npm run native`; ' +
          'to pack one, `npm run prebuild` first.',
      },
    )
  }
}

// Before LibTorch is opened: what is open under the names of NVIDIA's libraries is what it gets.
function simulate(addon: string, location: LibtorchLocation, card: Card): void {
  requireSimulated(location)
  const files = standIns(addon)
  const madeFor = inLoader(() => loaderOf(addon).simulate(files, cardText(card), card.key))
  if (madeFor === MADE_FOR) return
  throw new LocalformerError(
    'ERR_ADDON_LOAD',
    `The stand-ins of the simulated device in ${addon} were made for ${madeFor}, not ${MADE_FOR}`,
    { hint: 'Build them with `npm run native`, or install the package again.' },
  )
}

function open(addon: string, location: LibtorchLocation, isSimulated: boolean): NativeTorch {
  const { c10, torchCpu, torchCuda } = location.libraries
  // Without a driver the CUDA libraries are of no use, and cost seconds to open; without NVIDIA's
  // libraries they cannot be opened.
  const isServed = isSimulated || (location.flavor === 'cuda' && nvidiaDevice() !== undefined)
  const cuda = torchCuda !== undefined && isServed ? [torchCuda] : []
  return openAddon(addon, [c10, torchCpu, ...cuda], 'liblocalformer_torch.so') as NativeTorch
}

let cuda: NativeCuda | undefined

/**
 * Before a CUDA device is used: what needs CUDA's headers, where it was built. Without it an error of
 * memory says less.
 */
export function prepareCuda(): void {
  // Asked with every look at a device: what is loaded is not looked for again.
  if (cuda === undefined && existsSync(path.join(loadAll().addon, CUDA_ADDON))) loadCuda()
}

const CUDA_ADDON = 'liblocalformer_cuda.so'

/** What needs CUDA's own headers; to be asked for only where there is a CUDA device. */
export function loadCuda(): NativeCuda {
  const { location, addon } = loadAll()
  if (cuda === undefined) requireCudaLibrary(location, addon)
  cuda ??= openAddon(addon, [], CUDA_ADDON) as NativeCuda
  return cuda
}

function openAddon(
  addon: string,
  libraries: readonly string[],
  name: string,
): NativeTorch | NativeCuda {
  return inLoader(() => loaderOf(addon).open(libraries, path.join(addon, name)))
}

function loaderOf(addon: string): NativeLoader {
  return require(path.join(addon, 'localformer.node')) as NativeLoader
}

function inLoader<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ERR_CONFIG') {
      const { message } = cause as Error
      throw new LocalformerError('ERR_CONFIG', `The card cannot be simulated: ${message}`, {
        cause,
        hint: CARD_FIRST,
      })
    }
    throw new LocalformerError(
      'ERR_ADDON_LOAD',
      `The addon could not be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause, hint: 'Run `npx localformer doctor`.' },
    )
  }
}

/** Runs a native call; what it throws becomes a {@link LocalformerError}. */
export function callNative<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw fromNative(error)
  }
}

/** The same for a call that returns a promise. */
export async function awaitNative<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw fromNative(error)
  }
}

/** Ways out of ERR_OUT_OF_MEMORY, the one that keeps the batch first. */
const SUGGESTIONS = ['more modules', 'a smaller batch', 'a smaller image size', 'a higher limit']

function fromNative(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof LocalformerError) return error
  const { code, hint, ...facts } = error as Error & { code?: string; hint?: string }
  if (!ERROR_CODES.includes(code as ErrorCode)) return error
  return new LocalformerError(code as ErrorCode, error.message, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
    details: code === 'ERR_OUT_OF_MEMORY' ? { ...facts, suggestions: SUGGESTIONS } : facts,
  })
}

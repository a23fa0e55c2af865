// What `localformer doctor` checks: does this machine have what the package needs, and if not,
// which command mends it. Nothing here needs LibTorch or the addon; those are tried by the child
// process probe.ts.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { coresAllowed } from '../base/control-group.js'
import { LocalformerError } from '../base/errors.js'
import { formatBytes } from '../base/format.js'
import { type Memory, readMemory } from '../base/machine-memory.js'
import { isOlder } from '../base/version.js'
import { datasetsDirectory, isComplete } from '../datasets/fetch.js'
import { DATASETS } from '../datasets/open.js'
import { groupPlace, isInGroup } from '../distributed/place.js'
import { findPip } from '../libtorch/download.js'
import { type LibtorchCandidate, libtorchCandidates, locateLibtorch } from '../libtorch/locate.js'
import type { Flavor } from '../libtorch/manifest.js'
import { type InstalledLibtorch, readInstalled } from '../libtorch/receipt.js'
import { findAddon, nvidiaDevice } from '../native/load.js'
import { type Check, fail, ok, warn } from './check.js'
import { checkCudaParts } from './cuda-checks.js'
import { compilesCpp17, glibcVersion, versionOf } from './machine.js'
import type { ProbeResult, ProbeStage } from './probe.js'
import { type ProbeRun, runProbe } from './run-probe.js'

export interface DoctorOptions {
  /** Seconds that opening LibTorch and the addon may take; default 120. */
  readonly timeoutSeconds?: number
}

const INSTALL_LIBTORCH = 'npx localformer libtorch install'
const INSTALL_TOOLS = 'apt-get install g++ cmake ninja-build (or what your distribution calls them)'
const CHECK_DRIVER = 'nvidia-smi (CUDA 13 takes driver 580 or newer)'
const WANTED = { node: '20.9', glibc: '2.28', cmake: '3.18' } as const
/** Less than this is short even for several modules: Swin-Tiny with its optimizer takes 0.35 GiB. */
const LITTLE_MEMORY = 2 * 2 ** 30

/** All checks, in the order in which one depends on the other. Never throws for what it finds. */
export async function diagnose(options: DoctorOptions = {}): Promise<readonly Check[]> {
  const libtorch = checkLibtorch()
  const addon = addonFolder()
  const hasAddon = addon !== undefined
  const cuda = checkCudaOf(addon)
  return [
    checkNode(process.versions.node),
    checkPlatform(process.platform, process.arch, glibcVersion()),
    ...checkToolchain(hasAddon),
    await checkPip(libtorch.status === 'ok'),
    libtorch,
    ...checkAddon(await runProbe(options.timeoutSeconds ?? 120), libtorch),
    ...cuda,
    checkMemory(readMemory()),
    checkRanks(cuda.some(({ name, status }) => name === 'cuda library' && status === 'ok')),
    ...(await checkDatasets()),
  ]
}

/**
 * Is this process one of several, and do its variables say which?
 *
 * @param hasCuda Is the addon's CUDA part there?
 */
export function checkRanks(hasCuda: boolean): Check {
  const means = hasCuda
    ? "Gloo on the CPU, NCCL on CUDA, both LibTorch's; NCCL is untried on a real card"
    : 'Gloo on the CPU, which LibTorch brings; for NCCL the CUDA part of the addon is missing'
  if (!isInGroup()) return ok('ranks', `one process; several are started by torchrun (${means})`)
  try {
    const { rank, worldSize, address, port } = groupPlace()
    return ok('ranks', `rank ${rank} of ${worldSize}, store at ${address}:${port} (${means})`)
  } catch (error) {
    if (!(error instanceof LocalformerError)) throw error
    return fail('ranks', error.message, error.hint ?? null)
  }
}

/** @param version As `process.versions.node`. */
export function checkNode(version: string): Check {
  if (!isOlder(version, WANTED.node)) return ok('node', version)
  return fail('node', `${version}, older than ${WANTED.node}`, `install Node.js ${WANTED.node}+`)
}

/** @param glibc Undefined where the C library is another one. */
export function checkPlatform(platform: string, arch: string, glibc: string | undefined): Check {
  const name = 'platform'
  const text = `${platform}-${arch}`
  if (text !== 'linux-x64') {
    return fail(name, `${text}, not linux-x64`, 'use Linux on x86-64, e.g. in a container')
  }
  const fix = `use a distribution with glibc ${WANTED.glibc} or newer, e.g. Debian or Ubuntu`
  if (glibc === undefined) return fail(name, `${text} without glibc (musl?)`, fix)
  if (isOlder(glibc, WANTED.glibc)) {
    return fail(name, `${text}, glibc ${glibc}, older than ${WANTED.glibc}`, fix)
  }
  return ok(name, `${text}, glibc ${glibc}`)
}

/** Only a build needs these: where the addon is there, what is missing is no failure. */
function checkToolchain(hasAddon: boolean): Check[] {
  const missing = (name: string, what: string): Check =>
    hasAddon
      ? warn(name, `${what} (only a build needs it)`, INSTALL_TOOLS)
      : fail(name, what, INSTALL_TOOLS)
  const compiler = ['c++', 'g++', 'clang++'].find(compilesCpp17)
  const cmake = versionOf('cmake')
  const tool = ['ninja', 'make'].find((command) => versionOf(command) !== undefined)
  return [
    compiler === undefined
      ? missing('compiler', 'no C++17 compiler: neither c++ nor g++ nor clang++ compiles a test')
      : ok('compiler', `${compiler} ${versionOf(compiler)}, C++17`),
    cmake === undefined
      ? missing('cmake', 'is not installed')
      : isOlder(cmake, WANTED.cmake)
        ? missing('cmake', `${cmake}, older than ${WANTED.cmake}`)
        : tool === undefined
          ? missing('cmake', `${cmake}, but neither ninja nor make`)
          : ok('cmake', `${cmake} with ${tool}`),
  ]
}

async function checkPip(hasLibtorch: boolean): Promise<Check> {
  try {
    return ok('pip', `${(await findPip(undefined)).join(' ')} runs`)
  } catch {
    const fix = 'apt-get install python3-pip (any Python serves), or libtorch install --from PATH'
    return hasLibtorch
      ? warn('pip', 'does not run (only `libtorch install` needs it)', fix)
      : fail('pip', 'does not run, and `libtorch install` needs it', fix)
  }
}

function checkLibtorch(): Check {
  const name = 'libtorch'
  const candidates = libtorchCandidates()
  try {
    const { root, version, flavor, source } = locateLibtorch()
    const others = candidates.filter((candidate) => candidate.source !== source)
    const found = `${version} (${flavor}) in ${root}, found by ${source}`
    const receipt = source === 'cache' ? readInstalled(path.dirname(root)) : undefined
    if (receipt?.verified) return ok(name, `${found}; ${places(others)}`)
    // Of one that somebody else has put there nothing is known; one of ours says where it is from.
    const origin = receipt?.from === undefined ? 'its files are not checked' : unchecked(receipt)
    const detail = `${found}; ${origin}; ${places(others)}`
    return source === 'cache' ? warn(name, detail, `${INSTALL_LIBTORCH} --force`) : ok(name, detail)
  } catch (error) {
    if (!(error instanceof LocalformerError)) throw error
    const decisive = candidates.find(({ status }) => status !== 'unset')
    return fail(name, places(candidates), fixOfLibtorch(decisive))
  }
}

function checkCudaOf(addon: string | undefined): Check[] {
  try {
    return checkCudaParts(locateLibtorch(), addon, nvidiaDevice() !== undefined)
  } catch (error) {
    // The check of LibTorch has told it.
    if (error instanceof LocalformerError) return []
    throw error
  }
}

function unchecked({ from, source }: InstalledLibtorch): string {
  return `not verified: it was installed from ${from ?? source}, of which no sum was known`
}

// The option is a matter of a single command, so it is no place here.
function places(candidates: readonly LibtorchCandidate[]): string {
  return candidates
    .filter(({ source }) => source !== 'option')
    .map(({ source, path: folder, reason }) =>
      folder === undefined ? `${source}: ${reason}` : `${source}: ${folder} (${reason})`,
    )
    .join('; ')
}

function fixOfLibtorch(decisive: LibtorchCandidate | undefined): string {
  if (decisive === undefined || decisive.source === 'cache') {
    return decisive === undefined || decisive.status === 'missing'
      ? INSTALL_LIBTORCH
      : `${INSTALL_LIBTORCH} --force`
  }
  return `unset ${decisive.source} && ${INSTALL_LIBTORCH}`
}

function addonFolder(): string | undefined {
  try {
    return findAddon()
  } catch {
    return undefined
  }
}

const DOING: Readonly<Record<ProbeStage, string>> = {
  loader: 'opening localformer.node',
  torch: 'opening LibTorch and the addon',
  devices: 'asking for CUDA devices',
}

/** Addon, devices and threads, as far as the probe came. */
export function checkAddon({ result, diedIn, how }: ProbeRun, libtorch: Check): Check[] {
  const { loader, torch, devices } = result
  if (diedIn === 'loader' || diedIn === 'torch') {
    const fix = `${INSTALL_LIBTORCH} --force, or another LOCALFORMER_LIBTORCH`
    return [fail('addon', `the process that was ${DOING[diedIn]} ${how}`, fix)]
  }
  if (loader === undefined || 'failed' in loader) {
    const failure = loader ?? { failed: `the probe ${how}`, hint: null }
    return [fail('addon', failure.failed, failure.hint ?? 'npm run native')]
  }
  if (torch === undefined || 'failed' in torch) {
    if (libtorch.status === 'fail') {
      const detail = `in ${loader.folder}; not opened, for there is no LibTorch`
      return [warn('addon', detail, libtorch.fix)]
    }
    const reason = torch?.failed ?? `the probe ${how}`
    return [fail('addon', `in ${loader.folder}: ${reason}`, 'npm run native (in a checkout)')]
  }
  return [
    ok('addon', `in ${loader.folder}, opens LibTorch ${torch.libtorch}`),
    checkProcessor(torch.cpuCapability),
    checkCuda(devices, torch.flavor, diedIn === 'devices' ? `${DOING.devices}: ${how}` : undefined),
    checkThreads(torch.threads, coresAllowed()),
  ]
}

function checkProcessor(capability: string): Check {
  if (/AVX/.test(capability) && !/NO AVX/i.test(capability)) return ok('cpu', capability)
  return warn('cpu', `${capability}: without AVX2 a step takes several times longer`, null)
}

function checkCuda(
  devices: ProbeResult['devices'],
  flavor: Flavor,
  death: string | undefined,
): Check {
  const name = 'cuda'
  if (death !== undefined) return fail(name, death, '--device cpu')
  if (devices === undefined) return fail(name, 'the probe did not ask for devices', null)
  if ('failed' in devices) return warn(name, devices.failed, 'npm run native (in a checkout)')
  if (devices.reason === null) {
    const list = devices.cuda.map(
      ({ name: model, totalMemoryBytes, major, minor }, index) =>
        `cuda:${index} ${model}, ${formatBytes(totalMemoryBytes)}, compute ${major}.${minor}`,
    )
    return ok(name, list.join('; '))
  }
  // Most machines have no GPU, and none is needed; one that cannot be used is worth a word.
  if (!devices.driver) return ok(name, `not used: ${devices.reason}`)
  return flavor === 'cuda'
    ? warn(name, 'an NVIDIA driver, but no device that LibTorch can use', CHECK_DRIVER)
    : warn(
        name,
        `an NVIDIA driver, but a LibTorch without NVIDIA's libraries (${flavor})`,
        `${INSTALL_LIBTORCH} --flavor cuda`,
      )
}

/** Where a CUDA device is asked for, whether there is one. */
export function checkWanted(device: string, checks: readonly Check[]): Check[] {
  if (!device.startsWith('cuda')) return []
  const cuda = checks.find(({ name }) => name === 'cuda')
  const isThere =
    cuda?.status === 'ok' && cuda.detail.includes(device === 'cuda' ? 'cuda:0' : device)
  if (isThere) return [ok('device', `${device} is there`)]
  return [
    fail(
      'device',
      `${device} is not there: ${cuda?.detail ?? 'nothing was found'}`,
      '--device cpu',
    ),
  ]
}

/** @param allowed Cores that this process may use, by its affinity and its control group. */
export function checkThreads(threads: number, allowed: number): Check {
  const detail = `${threads} of LibTorch, ${allowed} cores allowed`
  if (threads <= Math.ceil(allowed)) return ok('threads', detail)
  return warn('threads', `${detail}: they wait for each other`, `OMP_NUM_THREADS=${allowed}`)
}

/** @param memory What the machine and the control group leave to this process. */
export function checkMemory({ totalBytes, availableBytes, limitBytes }: Memory): Check {
  const limit = limitBytes === undefined ? '' : `, limit of the group ${formatBytes(limitBytes)}`
  const detail = `${formatBytes(availableBytes)} available of ${formatBytes(totalBytes)}${limit}`
  if (availableBytes >= LITTLE_MEMORY) return ok('memory', detail)
  return warn('memory', detail, 'use more modules, a smaller --batch-size or --image-size')
}

async function checkDatasets(): Promise<Check[]> {
  const checks: Check[] = []
  for (const { name, recipe } of DATASETS) {
    if (!recipe) continue
    const directory = path.join(datasetsDirectory(), recipe.folder)
    const fix = `npx localformer dataset fetch ${name}`
    const label = `dataset ${name}`
    if (await isComplete(directory, recipe)) checks.push(ok(label, directory))
    else if (existsSync(directory)) checks.push(warn(label, `incomplete in ${directory}`, fix))
    // The others are fetched by whoever wants them: only the default one is missed.
    else if (name === 'cifar10') checks.push(warn(label, `not in ${datasetsDirectory()}`, fix))
  }
  return checks
}

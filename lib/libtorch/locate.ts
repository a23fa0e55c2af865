// Finds LibTorch. The build (scripts/build-native.ts, which tells CMake) and the loader both ask here.
// The first place that is set decides, and one that is set but does not fit is an error, so that
// another copy is never taken silently: 1. the option `path`  2. LOCALFORMER_LIBTORCH  3. LIBTORCH
// 4. the cache, filled by `npx localformer libtorch install`  5. the torch of the active Python, only
// on request (`python: true`). Nothing is loaded here: the version comes from a text file.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { cacheDirectory, libtorchOverride, libtorchShared } from '../base/environment.js'
import { expected, LocalformerError } from '../base/errors.js'
import { missingNvidia } from './libraries.js'
import { CUDA_HEADERS, FLAVORS, type Flavor, type LibtorchManifest, MANIFEST } from './manifest.js'
import { withPythonSync } from './python.js'

export const SOURCES = ['option', 'LOCALFORMER_LIBTORCH', 'LIBTORCH', 'cache', 'python'] as const

export type LibtorchSource = (typeof SOURCES)[number]

export interface LocateOptions {
  /** A folder with LibTorch as `lib/` and `include/`, or one that holds it as `torch` or `libtorch`. */
  readonly path?: string | undefined
  /** Also ask the active `python3` for its torch, after every other place. Default: false. */
  readonly python?: boolean | undefined
  /** Which one of the cache. Default: the first that is installed of `cuda`, `simulated`, `cpu`. */
  readonly flavor?: Flavor | undefined
  /** The cache of the package. Default: `cacheDirectory()`. */
  readonly cache?: string | undefined
  /** What is pinned. Default: `MANIFEST`. */
  readonly manifest?: LibtorchManifest | undefined
}

export interface LibtorchLocation {
  /** Absolute path of the folder that holds `lib/`, and `include/` where the headers are there. */
  readonly root: string
  /** As the files say it, e.g. `2.11.0+cu130`. */
  readonly version: string
  /**
   * What it can serve beside the CPU: `cuda` where its CUDA libraries and NVIDIA's, which they need,
   * are there (a CUDA device or a simulated one); `simulated` where its own are, without NVIDIA's.
   */
  readonly flavor: Flavor
  readonly source: LibtorchSource
  /** Absolute paths of what the loader opens. */
  readonly libraries: {
    readonly c10: string
    readonly torchCpu: string
    /** `libtorch_cuda.so` and `libc10_cuda.so`, where both are there. */
    readonly torchCuda?: string
    readonly c10Cuda?: string
  }
  /** The folder of the C++ headers, where it is there. */
  readonly include?: string
  /** The folder of the CUDA runtime's headers, where it is there. */
  readonly cudaInclude?: string
}

/** What was found at one place of the lookup order. */
export interface LibtorchCandidate {
  readonly source: LibtorchSource
  /** Where was looked; undefined when the place is not set. */
  readonly path: string | undefined
  readonly status: 'ok' | 'unset' | 'missing' | 'incomplete' | 'wrong-version'
  /** Why it was not taken, or what was found, as a phrase. */
  readonly reason: string
  readonly location?: LibtorchLocation
}

/**
 * The LibTorch that this package builds against and loads.
 *
 * @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND` when no place has one, or the place that is
 *   set has none; `ERR_LIBTORCH_VERSION` when it is another version than the pinned one;
 *   `ERR_CONFIG` for an option of a wrong type.
 */
export function locateLibtorch(options: LocateOptions = {}): LibtorchLocation {
  const manifest = options.manifest ?? MANIFEST
  const candidates = libtorchCandidates(options)
  for (const candidate of candidates) {
    if (candidate.location) return candidate.location
    const isExplicit = candidate.source !== 'cache' && candidate.source !== 'python'
    if (isExplicit && candidate.status !== 'unset') throw unfit(candidate, candidates, manifest)
  }
  const stale = candidates.find((candidate) => candidate.status === 'wrong-version')
  if (stale) throw unfit(stale, candidates, manifest)
  throw new LocalformerError(
    'ERR_LIBTORCH_NOT_FOUND',
    `LibTorch ${manifest.version} was not found. Looked at:\n${listCandidates(candidates)}`,
    { hint: waysOut(), details: { candidates } },
  )
}

/**
 * Every place of the lookup order with what was found there, for `doctor` and error messages.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for an option of a wrong type.
 */
export function libtorchCandidates(options: LocateOptions = {}): readonly LibtorchCandidate[] {
  checkOptions(options)
  const manifest = options.manifest ?? MANIFEST
  const at = (source: LibtorchSource, folder: string | undefined): LibtorchCandidate =>
    folder === undefined
      ? { source, path: undefined, status: 'unset', reason: 'not set' }
      : inspectLibtorch(path.resolve(folder), source, manifest)
  const candidates = [
    at('option', options.path),
    at('LOCALFORMER_LIBTORCH', libtorchOverride()),
    at('LIBTORCH', libtorchShared()),
    inspectCache(options, manifest),
  ]
  if (options.python) candidates.push(inspectPython(manifest))
  return candidates
}

/** The folder of the cache that holds the installed LibTorch, one sub-folder each. */
export function libtorchCache(cache: string = cacheDirectory()): string {
  return path.join(cache, 'libtorch')
}

/** Name of an installed LibTorch in the cache; `root` is the folder `torch` in it. */
export function installationName(version: string, flavor: Flavor): string {
  return `${version}-${flavor}`
}

/** Written last into an installation, so that one without it is not complete. */
export const RECEIPT = 'install.json'

/** Looks at one folder: are the libraries there, and of which version? */
export function inspectLibtorch(
  folder: string,
  source: LibtorchSource,
  manifest: LibtorchManifest = MANIFEST,
): LibtorchCandidate {
  if (!existsSync(folder)) {
    return { source, path: folder, status: 'missing', reason: 'no such folder' }
  }
  const root = findRoot(folder)
  if (!root) {
    const reason = 'has no lib/libtorch_cpu.so'
    return { source, path: folder, status: 'incomplete', reason }
  }
  const c10 = path.join(root, 'lib', 'libc10.so')
  if (!existsSync(c10)) {
    return { source, path: root, status: 'incomplete', reason: 'has no lib/libc10.so' }
  }
  const version = readVersion(root)
  if (version === undefined) {
    const reason = 'its version cannot be told: it has neither build-version nor version.py'
    return { source, path: root, status: 'wrong-version', reason }
  }
  if (!isPinnedVersion(version, manifest)) {
    const reason = `is version ${version}, not ${manifest.version}`
    return { source, path: root, status: 'wrong-version', reason }
  }
  const cuda = findCuda(root)
  const include = path.join(root, 'include')
  const beside = path.dirname(root)
  const cudaInclude = path.join(beside, 'nvidia', 'cu13', 'include')
  const hasHeaders = CUDA_HEADERS.every((header) => existsSync(path.join(beside, header)))
  const location: LibtorchLocation = {
    root,
    version,
    flavor: cuda === undefined ? 'cpu' : isServed(cuda) ? 'cuda' : 'simulated',
    source,
    libraries: {
      c10,
      torchCpu: path.join(root, 'lib', 'libtorch_cpu.so'),
      ...cuda,
    },
    ...(existsSync(include) && { include }),
    ...(hasHeaders && { cudaInclude }),
  }
  const reason = `${version}, ${location.flavor}`
  return { source, path: root, status: 'ok', reason, location }
}

function findCuda(root: string): { torchCuda: string; c10Cuda: string } | undefined {
  const torchCuda = path.join(root, 'lib', 'libtorch_cuda.so')
  const c10Cuda = path.join(root, 'lib', 'libc10_cuda.so')
  return existsSync(torchCuda) && existsSync(c10Cuda) ? { torchCuda, c10Cuda } : undefined
}

function isServed({ torchCuda }: { torchCuda: string }): boolean {
  return missingNvidia(torchCuda).length === 0
}

/** The folder with `lib/libtorch_cpu.so`: the given one, or `torch` or `libtorch` in it. */
export function findRoot(folder: string): string | undefined {
  return [folder, path.join(folder, 'torch'), path.join(folder, 'libtorch')].find((root) =>
    existsSync(path.join(root, 'lib', 'libtorch_cpu.so')),
  )
}

/** The version of an unpacked LibTorch: `build-version` (official archive) or `version.py` (wheel). */
export function readVersion(root: string): string | undefined {
  const plain = readText(path.join(root, 'build-version'))
  if (plain !== undefined) return plain.trim() || undefined
  const python = readText(path.join(root, 'version.py'))
  return python === undefined ? undefined : parseVersionPy(python).version
}

/** `__version__` and the CUDA version (null: built without CUDA) of torch's `version.py`. */
export function parseVersionPy(text: string): {
  version: string | undefined
  cuda: string | null
} {
  return {
    version: /^__version__\s*=\s*['"]([^'"]+)['"]/m.exec(text)?.[1],
    cuda: /^cuda\b[^=\n]*=\s*['"]([^'"]+)['"]/m.exec(text)?.[1] ?? null,
  }
}

/** True for the pinned version with or without a local suffix such as `+cpu` or `+cu130`. */
export function isPinnedVersion(version: string, manifest: LibtorchManifest = MANIFEST): boolean {
  return version.split('+')[0] === manifest.version
}

/** The ways out of a missing or unfit LibTorch, for error messages. */
export function waysOut(): string {
  return [
    'Ways out:',
    '  npx localformer libtorch install                  (downloads it with the pip client)',
    '  npx localformer libtorch install --from PATH|URL  (a torch wheel, a LibTorch zip or a folder)',
    '  LOCALFORMER_LIBTORCH=FOLDER                   (an unpacked LibTorch or site-packages/torch)',
  ].join('\n')
}

function inspectCache(options: LocateOptions, manifest: LibtorchManifest): LibtorchCandidate {
  const source = 'cache'
  const folder = libtorchCache(options.cache)
  const flavors: readonly Flavor[] = options.flavor
    ? [options.flavor]
    : ['cuda', 'simulated', 'cpu']
  for (const flavor of flavors) {
    const installation = path.join(folder, installationName(manifest.version, flavor))
    if (!existsSync(installation)) continue
    if (!existsSync(path.join(installation, RECEIPT))) {
      const reason = `has no ${RECEIPT}, so it is not complete`
      return { source, path: installation, status: 'incomplete', reason }
    }
    return inspectLibtorch(path.join(installation, 'torch'), source, manifest)
  }
  const others = readdirOrEmpty(folder).filter((name) => !name.startsWith('.'))
  const wanted = options.flavor ? `${manifest.version} (${options.flavor})` : manifest.version
  const reason = others.length
    ? `holds ${others.join(', ')} but not ${wanted}`
    : 'nothing is installed'
  return { source, path: folder, status: 'missing', reason }
}

// Asks where torch would be imported from; importing it would take seconds and load it.
const PYTHON_QUERY = `
import importlib.util
spec = importlib.util.find_spec("torch")
print(list(spec.submodule_search_locations)[0] if spec else "")
`

function inspectPython(manifest: LibtorchManifest): LibtorchCandidate {
  const source = 'python'
  const options = { encoding: 'utf8', timeout: 30_000 } as const
  const python = withPythonSync((settings) =>
    spawnSync('python3', ['-c', PYTHON_QUERY], { ...options, ...settings }),
  )
  if (python.error || python.status !== 0) {
    const reason = python.error
      ? `python3 could not be run (${python.error.message})`
      : `python3 failed (${python.stderr.trim().split('\n').at(-1)})`
    return { source, path: undefined, status: 'missing', reason }
  }
  const folder = python.stdout.trim()
  if (!folder) {
    return { source, path: undefined, status: 'missing', reason: 'the active python3 has no torch' }
  }
  return inspectLibtorch(folder, source, manifest)
}

function unfit(
  candidate: LibtorchCandidate,
  candidates: readonly LibtorchCandidate[],
  manifest: LibtorchManifest,
): LocalformerError {
  const name = NAMES[candidate.source]
  const isVersion = candidate.status === 'wrong-version'
  return new LocalformerError(
    isVersion ? 'ERR_LIBTORCH_VERSION' : 'ERR_LIBTORCH_NOT_FOUND',
    `Expected LibTorch ${manifest.version} at ${name}, but ${candidate.path} ${
      candidate.status === 'missing' ? 'is not a folder that exists' : candidate.reason
    }`,
    { hint: waysOut(), details: { candidates } },
  )
}

const NAMES: Readonly<Record<LibtorchSource, string>> = {
  option: 'the path given',
  LOCALFORMER_LIBTORCH: 'LOCALFORMER_LIBTORCH',
  LIBTORCH: 'LIBTORCH',
  cache: 'the cache',
  python: "the active Python's torch",
}

function listCandidates(candidates: readonly LibtorchCandidate[]): string {
  return candidates
    .map(({ source, path: folder, reason }) => {
      return `  ${NAMES[source]}: ${folder === undefined ? reason : `${folder} (${reason})`}`
    })
    .join('\n')
}

function checkOptions(options: LocateOptions): void {
  const { path: folder, python, flavor } = options
  if (folder !== undefined && (typeof folder !== 'string' || folder === '')) {
    throw new LocalformerError('ERR_CONFIG', expected('a folder', 'path', folder))
  }
  if (python !== undefined && typeof python !== 'boolean') {
    throw new LocalformerError('ERR_CONFIG', expected('true or false', 'python', python))
  }
  checkFlavor(flavor)
}

/** @throws {LocalformerError} `ERR_CONFIG` for anything but undefined and a flavor. */
export function checkFlavor(flavor: unknown): asserts flavor is Flavor | undefined {
  if (flavor === undefined || FLAVORS.includes(flavor as Flavor)) return
  throw new LocalformerError('ERR_CONFIG', expected(FLAVORS.join(' or '), 'flavor', flavor))
}

function readText(file: string): string | undefined {
  return existsSync(file) && statSync(file).isFile() ? readFileSync(file, 'utf8') : undefined
}

function readdirOrEmpty(folder: string): string[] {
  return existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : []
}

// Which libraries LibTorch needs and whether they are there, read from the files' dynamic sections:
// nothing is loaded. NVIDIA's lie beside torch (as pip lays them out), in torch/lib (official archives)
// or where the machine's own linker looks.
import { existsSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { librarySearchPath } from '../base/environment.js'
import { LocalformerError } from '../base/errors.js'
import { formatBytes } from '../base/format.js'
import { readSharedLibrary, X86_64 } from './elf.js'
import type { Flavor } from './manifest.js'

// What every Linux with a C++ runtime has, and what comes with the NVIDIA driver.
const SYSTEM_LIBRARY =
  /^(ld-linux-x86-64|lib(c|m|dl|rt|pthread|util|stdc\+\+|gcc_s|z|cuda|nvidia-ml))\.so/

// libcudart, libcublas, libnccl, libnvshmem_host and the like.
const NVIDIA_LIBRARY = /^lib(cu|nccl|nv)/

// LibTorch's own that need NVIDIA's: stand-ins may take their place.
const TORCH_CUDA = /^lib(c10_cuda|torch_cuda|torch_cuda_linalg|torch_nvshmem)\.so$/

// Where distributions and NVIDIA's own packages put what the linker then finds by itself.
const SYSTEM_FOLDERS = ['/usr/local/cuda/lib64', '/usr/lib/x86_64-linux-gnu', '/usr/lib64']

/**
 * Names of the libraries of NVIDIA's that `library` (a libtorch_cuda.so) needs and that are neither
 * beside it nor where the machine's linker looks. Those of the driver are not counted.
 */
export function missingNvidia(library: string): readonly string[] {
  const found = readSharedLibrary(library)
  const needed = (found?.needed ?? []).filter(
    (name) => NVIDIA_LIBRARY.test(name) && !SYSTEM_LIBRARY.test(name),
  )
  if (needed.length === 0) return []
  const folder = path.dirname(library)
  const own = (found?.searchPath ?? []).map((entry) => fromOrigin(entry, folder))
  const folders = [...foldersBeside(folder), ...own, ...librarySearchPath(), ...SYSTEM_FOLDERS]
  return needed.filter((name) => !folders.some((place) => existsSync(path.join(place, name))))
}

/**
 * Follows what the loaded libraries need, so that a missing one is named now and not later. What the
 * stand-ins of a simulated device stand for is not looked for.
 *
 * @param root An unpacked LibTorch: the folder with `lib/`.
 * @throws {LocalformerError} `ERR_LIBTORCH_NOT_FOUND`
 */
export function checkLibraries(root: string, flavor: Flavor): void {
  const folders = foldersBeside(path.join(root, 'lib'))
  const queue = loadedBy(flavor).map((name) => ({ name, neededBy: 'LibTorch' }))
  const seen = new Set<string>()
  for (const { name, neededBy } of queue) {
    if (seen.has(name) || SYSTEM_LIBRARY.test(name)) continue
    seen.add(name)
    const file = folders.map((folder) => path.join(folder, name)).find(existsSync)
    if (!file) {
      throw new LocalformerError(
        'ERR_LIBTORCH_NOT_FOUND',
        `${neededBy} needs ${name}, which the source does not contain`,
        { hint: 'Install without --from, or from a source that brings its CUDA libraries.' },
      )
    }
    const library = readSharedLibrary(file)
    if (library?.machine !== X86_64) {
      throw new LocalformerError(
        'ERR_LIBTORCH_NOT_FOUND',
        `${name} is not a shared library for x86-64 (${formatBytes(statSync(file).size)})`,
      )
    }
    const isServed = flavor === 'simulated' && TORCH_CUDA.test(name)
    const needed = library.needed.filter((other) => !isServed || !NVIDIA_LIBRARY.test(other))
    queue.push(...needed.map((other) => ({ name: other, neededBy: name })))
  }
}

const CPU_LIBRARIES: readonly string[] = ['libc10.so', 'libtorch_cpu.so']
const CUDA_LIBRARIES: readonly string[] = ['libc10_cuda.so', 'libtorch_cuda.so']

function loadedBy(flavor: Flavor): readonly string[] {
  return flavor === 'cpu' ? CPU_LIBRARIES : [...CPU_LIBRARIES, ...CUDA_LIBRARIES]
}

/** The folder of torch's libraries and those of NVIDIA's that pip puts beside torch. */
function foldersBeside(lib: string): readonly string[] {
  const nvidia = path.resolve(lib, '..', '..', 'nvidia')
  if (!existsSync(nvidia)) return [lib]
  return [lib, ...readdirSync(nvidia).map((name) => path.join(nvidia, name, 'lib'))]
}

function fromOrigin(entry: string, folder: string): string {
  return entry.replaceAll(/\$(ORIGIN|\{ORIGIN\})/g, () => folder)
}

// Card, driver and libraries as they are loaded: what is mapped once a step has been taken, since some
// of NVIDIA's libraries are opened by the first operation that needs them.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { getDeviceProperties } from '../../device/cuda.js'
import { parseRunSpec } from '../../local/run-spec.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import { createTrainer } from '../../local/trainer-of-spec.js'
import { loadAll, loadCuda } from '../../native/load.js'
import { type Finding, type ItemRequest, judged } from './item.js'
import { batchOf, openDevice, subjectOf } from './subject.js'

/** Each has to be there, and once, but for the driver's, which is two files in WSL. */
const DRIVER = 'libcuda'
const NEEDED = [DRIVER, 'libcudart', 'libcublas', 'libcublasLt', 'libcudnn'] as const

export async function libraries(request: ItemRequest): Promise<Finding> {
  const { index, isSimulated } = openDevice(request.device)
  const { network } = subjectOf({ quick: true })
  await using model = await SwinTransformer.create({ ...network, device: `cuda:${index}` })
  // Its decoder has convolutions, which are cuDNN's.
  await using trainer = await createTrainer(model, parseRunSpec('paper:2,decoder=conv'))
  await trainer.step(batchOf(2), { learningRate: 1e-4 })
  const { torch, location } = loadAll()
  const card = getDeviceProperties(index)
  const versions = loadCuda().versions()
  const files = nvidiaFiles(readFileSync('/proc/self/maps', 'utf8'))
  const details = {
    ...{ card, versions, files, kernelDriver: kernelDriver() },
    libtorch: { version: torch.versions().libtorch, build: location.version, root: location.root },
  }
  const summary =
    `${card.name}, compute capability ${card.major}.${card.minor}, ${card.multiProcessorCount} multiprocessors; ` +
    `CUDA ${cudaVersion(versions.runtime)}, driver's ${cudaVersion(versions.driver)}, ` +
    `cuDNN ${versions.cudnn ?? 'none'}; LibTorch ${location.version}`
  return judged(isSimulated ? [] : complaintsOf(files, versions), summary, details)
}

/** 13000 -> `13.0` */
export function cudaVersion(number: number): string {
  return `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`
}

/** NVIDIA's libraries in a /proc/PID/maps, and our stand-ins for them. */
export function nvidiaFiles(maps: string): string[] {
  const files = maps
    .split('\n')
    .flatMap((line) => /\s(\/.*\.so[\d.]*)(?: \(deleted\))?$/.exec(line)?.[1] ?? [])
  const isNvidias = (file: string) =>
    /^lib(cuda|cudart|cublas|cublasLt|cudnn\w*|nvrtc|nvJitLink|cusolver|cusparse\w*|cufft|curand|cupti|nccl|nvidia-ptxjitcompiler|localformer_sim_\w+)\.so/.test(
      path.basename(file),
    )
  return [...new Set(files)].filter(isNvidias).sort()
}

/** A library that is missing or there twice, or a driver that is too old for the runtime. */
export function complaintsOf(
  files: readonly string[],
  { driver, runtime }: { readonly driver: number; readonly runtime: number },
): string[] {
  const mapped = NEEDED.flatMap((name) => {
    const found = files.filter((file) => path.basename(file).split('.so')[0] === name)
    if (found.length === 1 || (name === DRIVER && found.length > 1)) return []
    return [
      found.length === 0 ? `${name} is not loaded` : `${name} is loaded twice: ${found.join(', ')}`,
    ]
  })
  // Within a major version an older driver serves too (CUDA's minor version compatibility).
  const isOld = Math.floor(driver / 1000) < Math.floor(runtime / 1000)
  const old = `the driver is for CUDA ${cudaVersion(driver)}, the libraries for ${cudaVersion(runtime)}`
  return isOld ? [...mapped, old] : mapped
}

/** Version of the kernel's driver, as it says itself; null where it does not (WSL). */
function kernelDriver(): string | null {
  try {
    const text = readFileSync('/proc/driver/nvidia/version', 'utf8')
    return /\s(\d+\.\d+(?:\.\d+)?)\s/.exec(text)?.[1] ?? null
  } catch {
    return null
  }
}

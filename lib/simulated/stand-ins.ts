// The stand-ins for NVIDIA's libraries that this package is shipped with (native/simulated): their
// files, and how they are told which card to be.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import type { Card } from './cards.js'

/** Names of the files, in the order in which they are opened: the CUDA runtime's holds the device. */
export const STAND_INS: readonly string[] = [
  ...['cudart', 'cuda', 'cublas', 'cublaslt', 'cudnn', 'cufft', 'cufile', 'cupti', 'curand'],
  ...['cusolver', 'cusparse', 'cusparselt', 'nccl', 'nvrtc', 'nvshmem'],
].map((name) => `liblocalformer_sim_${name}.so`)

/** What the functions were listed from: LibTorch's version, and CUDA's major one. */
export const MADE_FOR = '2.11.0 cu13'

/**
 * Absolute paths of the stand-ins in the addon's folder.
 *
 * @throws {LocalformerError} `ERR_ADDON_LOAD` where one is missing.
 */
export function standIns(addon: string): readonly string[] {
  const files = STAND_INS.map((name) => path.join(addon, name))
  const missing = files.filter((file) => !existsSync(file))
  if (missing.length === 0) return files
  throw new LocalformerError(
    'ERR_ADDON_LOAD',
    `The stand-ins of the simulated device are not all in ${addon}: ${missing.map((file) => path.basename(file)).join(', ')}`,
    { hint: 'Build them with `npm run native`, or install the package again.' },
  )
}

/** A card as the stand-ins read it (native/simulated/card.c). */
export function cardText({ key: _, hasBfloat16: __, ...card }: Card): string {
  return Object.entries(card)
    .map(([name, value]) => `${name}=${value}`)
    .join(',')
}

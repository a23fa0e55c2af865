// The CUDA cards that can be simulated, and what a card is by size and architecture alone.
// in: `rtx3060`, `12GiB,sm_86` -> out: Card
import { sizeOf } from '../base/bytes.js'
import { describe, expected, LocalformerError } from '../base/errors.js'
import { nearestOf } from '../base/nearest.js'

/** A CUDA card, as far as LibTorch's allocator and its choice of kernels look at it. */
export interface Card {
  /** What it is asked for by: `rtx3060`, or the description that was given. */
  readonly key: string
  /** As the driver calls it. */
  readonly name: string
  /** Compute capability. */
  readonly major: number
  readonly minor: number
  /** Architecture whose kernels LibTorch's build runs there, e.g. 86 on an sm_89. */
  readonly kernels: number
  readonly multiprocessors: number
  readonly threadsPerMultiprocessor: number
  /** As the driver reports it: less than what is printed on the box. */
  readonly totalBytes: number
  /** What a context takes before the first tensor; an estimate by the number of multiprocessors. */
  readonly contextBytes: number
  readonly sharedBytesPerBlockOptin: number
  readonly sharedBytesPerMultiprocessor: number
  readonly l2Bytes: number
  /** Does it compute in bfloat16 natively (from compute capability 8.0 on)? */
  readonly hasBfloat16: boolean
}

const KIB = 2 ** 10
const MIB = 2 ** 20
const GIB = 2 ** 30

// A line through what out-of-memory messages of eight cards tell of their contexts, with what CUDA 13
// adds (docs/fidelity.md, "The context").
function contextOf(multiprocessors: number): number {
  return Math.round(100 + 3.6 * multiprocessors) * MIB
}

/** What cards of an architecture have in common: CUDA C++ Programming Guide, "Compute Capabilities". */
interface Architecture {
  readonly kernels: number
  readonly threadsPerMultiprocessor: number
  readonly sharedKibPerBlock: number
  readonly sharedKibPerMultiprocessor: number
  /** Of a card that is described by its architecture alone. */
  readonly multiprocessors: number
  readonly l2Mib: number
}

// LibTorch 2.11 with CUDA 13 has kernels for 7.5, 8.0, 8.6, 9.0, 10.0 and 12.0; a card runs those of
// its own generation that are not newer than it.
const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  '7.5': architecture(75, 1024, 64, 64, 40, 4),
  '8.0': architecture(80, 2048, 163, 164, 108, 40),
  '8.6': architecture(86, 1536, 99, 100, 46, 4),
  '8.9': architecture(86, 1536, 99, 100, 76, 48),
  '9.0': architecture(90, 2048, 227, 228, 132, 50),
  '10.0': architecture(100, 2048, 227, 228, 148, 126),
  '12.0': architecture(120, 1536, 99, 100, 84, 48),
}

function architecture(
  kernels: number,
  threadsPerMultiprocessor: number,
  sharedKibPerBlock: number,
  sharedKibPerMultiprocessor: number,
  multiprocessors: number,
  l2Mib: number,
): Architecture {
  return {
    ...{ kernels, threadsPerMultiprocessor, sharedKibPerBlock, sharedKibPerMultiprocessor },
    ...{ multiprocessors, l2Mib },
  }
}

// Key, name, compute capability, MiB that PyTorch reports as the card's total, multiprocessors, MiB of
// L2 cache. Totals are those of drivers that run CUDA 13, which keep some 130 MiB more for themselves
// than those before; docs/fidelity.md has the source of each.
const TABLE: readonly (readonly [string, string, string, number, number, number])[] = [
  ['t4', 'Tesla T4', '7.5', 14_913, 40, 4],
  ['rtx2080ti', 'NVIDIA GeForce RTX 2080 Ti', '7.5', 10_823, 68, 5.5],
  ['a100', 'NVIDIA A100-SXM4-80GB', '8.0', 81_153, 108, 40],
  ['a100-40gb', 'NVIDIA A100-SXM4-40GB', '8.0', 40_338, 108, 40],
  ['a10g', 'NVIDIA A10G', '8.6', 22_587, 80, 6],
  ['rtxa6000', 'NVIDIA RTX A6000', '8.6', 48_538, 84, 6],
  ['rtx3060', 'NVIDIA GeForce RTX 3060', '8.6', 11_909, 28, 2.25],
  ['rtx3070', 'NVIDIA GeForce RTX 3070', '8.6', 7_842, 46, 4],
  ['rtx3080', 'NVIDIA GeForce RTX 3080', '8.6', 9_872, 68, 5],
  ['rtx3090', 'NVIDIA GeForce RTX 3090', '8.6', 24_125, 82, 6],
  ['l4', 'NVIDIA L4', '8.9', 22_563, 58, 48],
  ['l40s', 'NVIDIA L40S', '8.9', 45_460, 142, 96],
  ['rtx4060', 'NVIDIA GeForce RTX 4060', '8.9', 7_806, 24, 24],
  ['rtx4060ti-16gb', 'NVIDIA GeForce RTX 4060 Ti', '8.9', 15_944, 34, 32],
  ['rtx4070', 'NVIDIA GeForce RTX 4070', '8.9', 11_903, 46, 36],
  ['rtx4080', 'NVIDIA GeForce RTX 4080', '8.9', 15_944, 76, 64],
  ['rtx4090', 'NVIDIA GeForce RTX 4090', '8.9', 24_084, 128, 72],
  ['h100', 'NVIDIA H100 80GB HBM3', '9.0', 81_079, 132, 50],
  ['h200', 'NVIDIA H200', '9.0', 143_156, 132, 60],
  ['b200', 'NVIDIA B200', '10.0', 182_642, 148, 126],
  ['rtx5080', 'NVIDIA GeForce RTX 5080', '12.0', 15_841, 84, 64],
  ['rtx5090', 'NVIDIA GeForce RTX 5090', '12.0', 32_111, 170, 96],
]

/** Every card by its key, in the order of the architectures. */
export const CARDS: readonly Card[] = TABLE.map(([key, name, capability, mib, count, l2]) =>
  cardOf(key, name, capability, mib * MIB, count, l2),
)

const EXAMPLE = 'sim:12GiB,sm_86'

/**
 * The card of a key (`rtx3060`), or of its size and architecture (`12GiB,sm_86`). Case, spaces, `-`
 * and `_` within a key do not matter, nor does the vendor's name before it (`NVIDIA RTX 3060`).
 *
 * @param name Of the option that it stands for.
 * @throws {LocalformerError} `ERR_CONFIG` for another word, with the nearest name.
 */
export function cardNamed(text: unknown, name = 'simulate'): Card {
  if (typeof text !== 'string') {
    throw new LocalformerError('ERR_CONFIG', expected('the name of a card', name, text))
  }
  const plain = plainly(text)
  const short = plain.replace(/^(nvidia)?(geforce|tesla)?/, '')
  const known = CARDS.find(({ key, name }) => short === plainly(key) || plain === plainly(name))
  if (known !== undefined) return known
  return /^\s*[\d.]/.test(text) || text.includes(',') ? described(text, name) : unknown(text)
}

function plainly(text: string): string {
  return text.toLowerCase().replace(/[\s_-]/g, '')
}

function described(text: string, name: string): Card {
  const [, amount = '', capability] = /^([^,]*), *sm_?(\d{2,3}) *$/i.exec(text) ?? []
  const size = sizeOf(amount)
  if (size === undefined || capability === undefined) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected(`a size and an architecture, such as ${EXAMPLE},`, name, text),
    )
  }
  const { bytes } = size
  const [least, most] = [GIB, 1024 * GIB]
  if (bytes < least || bytes > most) {
    throw new LocalformerError('ERR_CONFIG', expected('a card of 1 GiB to 1 TiB', name, text))
  }
  const version = `${capability.slice(0, -1)}.${capability.slice(-1)}`
  const common = ARCHITECTURES[version]
  if (common === undefined) {
    const all = Object.keys(ARCHITECTURES).map((one) => `sm_${one.replace('.', '')}`)
    const what = `an architecture that LibTorch's build has kernels for, ${all.join(', ')},`
    throw new LocalformerError('ERR_CONFIG', expected(what, name, text))
  }
  const [key, title] = [
    `${size.text},sm_${capability}`,
    `CUDA card of ${size.text} and sm_${capability}`,
  ]
  return cardOf(key, title, version, bytes, common.multiprocessors, common.l2Mib)
}

function unknown(text: string): never {
  const keys = CARDS.map(({ key }) => key)
  const meant = nearestOf(text, keys)
  throw new LocalformerError(
    'ERR_CONFIG',
    `The simulated device knows no card ${describe(text)}${meant === undefined ? '' : `; did you mean ${meant}?`}`,
    {
      hint: `Cards: ${keys.join(', ')}. Any other: its size and architecture, such as ${EXAMPLE}.`,
    },
  )
}

function cardOf(
  key: string,
  name: string,
  capability: string,
  totalBytes: number,
  multiprocessors: number,
  l2Mib: number,
): Card {
  const common = ARCHITECTURES[capability] as Architecture
  const [major = 0, minor = 0] = capability.split('.').map(Number)
  return {
    ...{ key, name, major, minor, multiprocessors, totalBytes },
    kernels: common.kernels,
    threadsPerMultiprocessor: common.threadsPerMultiprocessor,
    contextBytes: contextOf(multiprocessors),
    sharedBytesPerBlockOptin: common.sharedKibPerBlock * KIB,
    sharedBytesPerMultiprocessor: common.sharedKibPerMultiprocessor * KIB,
    l2Bytes: l2Mib * MIB,
    hasBfloat16: major >= 8,
  }
}

// Numbers of independent implementations, and how they are compared: test/fixtures/golden/README.md.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { SwinConfig, Tensors } from '../../lib/local/swin-transformer.js'

export interface Digest {
  readonly sum: number
  /** L2. */
  readonly norm: number
  readonly samples: readonly number[]
}

/** A parameter whose values both sides compute. */
export interface Formula {
  readonly name: string
  readonly shape: readonly number[]
  readonly offset: number
  readonly scale: number
}

export interface SwinSizes extends Omit<SwinConfig, 'dropPath' | 'seed'> {
  readonly batch: number
}

export interface SwinGolden {
  readonly configs: Readonly<
    Record<
      string,
      SwinSizes & {
        readonly imageScale: number
        readonly labels: readonly number[]
        readonly logits: readonly (readonly number[])[]
        readonly loss: number
        readonly units: readonly (Digest & { name: string; shape: readonly number[] })[]
        readonly parameters: readonly (Formula & { readonly gradient: Digest })[]
      }
    >
  >
}

export interface LocalConfig {
  readonly labelWeight: number
  readonly reconstructionWeight: number
  readonly labelSmoothing: number
  /** Numbers of units before each cut. */
  readonly cuts: readonly number[]
  readonly decoder: 'none' | 'linear' | 'conv'
  readonly mixed?: boolean
  readonly modules: readonly {
    readonly units: readonly string[]
    readonly parameterCount: number
    readonly auxiliaryCount: number
  }[]
  readonly firstFeatures: readonly (Digest & { readonly shape: readonly number[] })[]
  readonly steps: readonly {
    readonly labelLoss: readonly number[]
    readonly reconstructionLoss: readonly (number | null)[]
  }[]
  readonly parametersAfter: readonly {
    readonly name: string
    readonly shape: readonly number[]
    readonly value: Digest
    readonly change: Digest
  }[]
  readonly logitsAfter: readonly (readonly number[])[]
  readonly parameters: readonly Formula[]
}

export interface LocalGolden {
  readonly model: SwinSizes
  readonly optimizer: {
    readonly learningRate: number
    readonly betas: readonly [number, number]
    readonly eps: number
    readonly weightDecay: number
  }
  readonly convDecoder: { readonly hidden: number }
  /** By step. */
  readonly labels: readonly (readonly number[])[]
  /** By step, for configs that are `mixed`. */
  readonly mixed: readonly {
    readonly otherLabels: readonly number[]
    readonly labelShares: readonly number[]
  }[]
  readonly configs: Readonly<Record<string, LocalConfig>>
}

export interface AugmentGolden {
  readonly randAugment: readonly {
    readonly magnitude: number
    readonly height: number
    readonly width: number
    /** Bytes in hexadecimal, planar RGB. */
    readonly image: string
    readonly operations: readonly { readonly name: string; value: number; readonly crc32: number }[]
    readonly crc32OfPairs: readonly number[]
  }[]
  readonly crops: {
    readonly height: number
    readonly width: number
    readonly images: string
    readonly cases: readonly {
      readonly seed: number
      readonly cropPadding: number
      readonly cropMode: 'reflect' | 'zero'
      readonly flip: boolean
      /** Of all images together. */
      readonly crc32: number
    }[]
  }
}

export function readGolden(name: 'swin'): SwinGolden
export function readGolden(name: 'local'): LocalGolden
export function readGolden(name: 'augment'): AugmentGolden
export function readGolden(name: string): unknown {
  const file = new URL(`../../../test/fixtures/golden/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(fileURLToPath(file), 'utf8'))
}

/** Element j of a stream is a hash of both; the arithmetic is exact up to the rounding to float32. */
export function closedFormula(
  stream: number,
  count: number,
  offset: number,
  scale: number,
): Float32Array {
  const values = new Float32Array(count)
  for (let j = 0; j < count; j++) {
    let x = (Math.imul(stream + 1, 0x9e3779b1) + Math.imul(j, 0x85ebca77)) >>> 0
    x ^= x >>> 16
    x = Math.imul(x, 0x7feb352d)
    x ^= x >>> 15
    x = Math.imul(x, 0x846ca68b)
    x = (x ^ (x >>> 16)) >>> 0
    values[j] = offset + scale * (x / 2 ** 31 - 1)
  }
  return values
}

/** Values of all parameters, which are listed in the order of their streams. */
export function weightsOf(parameters: readonly Formula[]): Tensors {
  return Object.fromEntries(
    parameters.map(({ name, shape, offset, scale }, stream) => [
      name,
      { shape, data: closedFormula(stream, sizeOf(shape), offset, scale) },
    ]),
  )
}

/** Those whose name begins with a prefix, or the others. */
export function pick(tensors: Tensors, keep: (name: string) => boolean): Tensors {
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => keep(name)))
}

/** Normalised images `[batch, 3, size, size]` of a step. */
export function imagesOf(step: number, batch: number, size: number, scale = 2): Float32Array {
  return closedFormula(1000 + step, batch * 3 * size * size, 0, scale)
}

/** By how much a tensor differs from its digest, in units of the tensor's root mean square. */
export function deviation(got: ArrayLike<number>, want: Digest): number {
  const n = got.length
  const sum = sumOf(got, (v) => v)
  const norm = Math.sqrt(sumOf(got, (v) => v * v))
  const m = want.samples.length
  const samples = want.samples.map((value, s) => {
    const at = m === 1 ? 0 : Math.floor((s * (n - 1)) / (m - 1))
    return Math.abs((got[at] as number) - value)
  })
  // Zero by mathematics: rounding is all there is, so it is compared as it stands.
  const isZero = want.norm < 1e-12
  const unit = isZero ? 1 : want.norm / Math.sqrt(n)
  return Math.max(
    Math.abs(sum - want.sum) / (n * unit),
    Math.abs(norm - want.norm) / (isZero ? 1 : want.norm),
    ...samples.map((difference) => difference / unit),
  )
}

/** Largest difference over the largest magnitude. */
export function relative(got: ArrayLike<number>, want: readonly number[]): number {
  const largest = Math.max(...want.map(Math.abs))
  return Math.max(...want.map((value, i) => Math.abs((got[i] as number) - value))) / largest
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, side) => size * side, 1)
}

function sumOf(values: ArrayLike<number>, term: (value: number) => number): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += term(values[i] as number)
  return sum
}

// Small networks that between them use every method, number format, way to recompute, decoder, head
// and option of a step that allocates.
import type { LocalOptions } from '../../../lib/local/options.js'
import type { SwinOptions } from '../../../lib/local/swin-transformer.js'
import { DECODERS, DTYPES, HEADS, METHODS, OFFLOAD, RECOMPUTE } from '../../../lib/local/words.js'

/**
 * Two stages, a shifted window and stochastic depth. A step takes a few milliseconds, and yet the
 * products of attention are large enough for oneDNN, where the processor has bfloat16.
 */
export const NETWORK = {
  imageSize: 32,
  patchSize: 4,
  windowSize: 4,
  embedDim: 8,
  depths: [2, 1],
  heads: [1, 2],
  dropPath: 0.2,
  classes: 10,
  device: 'cpu',
  seed: 1,
} as const satisfies SwinOptions

/** How a trainer is made and how it steps. */
export interface Case {
  readonly name: string
  readonly method: 'backprop' | 'local'
  readonly options: LocalOptions
  /** What a step takes; default `floats`. */
  readonly batch?: 'floats' | 'augmented bytes' | 'prepared'
  readonly clipNorm?: number
  /** An average of the weights is kept. */
  readonly averages?: boolean
  /** The step's memory is recorded. */
  readonly timeline?: boolean
}

const grid: Case[] = METHODS.flatMap((method) =>
  DTYPES.flatMap((dtype) =>
    RECOMPUTE.map(
      (recompute): Case => ({
        name: [method, dtype, ...(recompute === 'none' ? [] : [`recompute=${recompute}`])].join(
          ', ',
        ),
        ...(method === 'backprop'
          ? { method, options: { dtype, recompute } }
          : { method: 'local', options: { method, modules: 2, dtype, recompute } }),
      }),
    ),
  ),
)

const local = (name: string, options: LocalOptions, more: Partial<Case> = {}): Case => ({
  name,
  method: 'local',
  options: { modules: 2, ...options },
  ...more,
})

const parts: Case[] = [
  ...DTYPES.flatMap((dtype) => [
    ...DECODERS.map((decoder) =>
      local(`decoder ${decoder}, ${dtype}`, {
        dtype,
        decoder,
        decoderHidden: 8,
        ...(decoder === 'infopro' ? { method: 'infopro' } : {}),
      }),
    ),
    ...HEADS.map((head) => local(`head ${head}, ${dtype}`, { dtype, head })),
    local(`accumulate=3, ${dtype}`, { dtype, accumulate: 3 }),
    local(`accumulate=2, recompute=block, ${dtype}`, { dtype, accumulate: 2, recompute: 'block' }),
    local(`oneDNN, ${dtype}`, { dtype, math: 'onednn' }),
    local(`penalty, ${dtype}`, { dtype, penaltyWeight: 0.1 }),
    local(`sample=0.5, ${dtype}`, { dtype, sample: 0.5 }),
  ]),
  local('the image in l1', { target: 'image', decoder: 'conv', decoderHidden: 8, distance: 'l1' }),
  local('the image in bce, recompute=block', {
    target: 'image',
    distance: 'bce',
    recompute: 'block',
  }),
  local('chunks of one sample', { chunkSize: 1 }),
  local('a module for every block', { modules: 3, split: 'blocks' }),
  local('label smoothing, SGD', { labelSmoothing: 0.1, optimizer: 'sgd' }),
  local('SGD without momentum', { optimizer: 'sgd', momentum: 0 }),
  local('clipped gradients', {}, { clipNorm: 0.1 }),
  ...OFFLOAD.map((offload) =>
    local(`offload=${offload}, averaged weights`, { offload }, { averages: true }),
  ),
  local('a timeline', {}, { timeline: true }),
  local('augmented bytes', {}, { batch: 'augmented bytes' }),
  local('a prepared batch', {}, { batch: 'prepared' }),
  {
    name: 'backprop, accumulate=2, clipped, averaged',
    method: 'backprop',
    options: { accumulate: 2 },
    clipNorm: 0.1,
    averages: true,
  },
]

export const CASES: readonly Case[] = [...grid, ...parts]

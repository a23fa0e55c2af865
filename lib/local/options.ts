// Options of the trainers: what they are for users, and one row for each (see option-rows.ts).
import { integer, number, oneOf, positive, zod } from '../base/validate.js'
import type { OptionRow, RowsOf } from './option-rows.js'
import type { Split } from './splits.js'
import {
  DECODERS,
  type DecoderKind,
  DISTANCES,
  type Distance,
  DTYPES,
  type Dtype,
  HEADS,
  type HeadKind,
  LOCAL_METHODS,
  MATHS,
  type MathMode,
  type Method,
  OFFLOAD,
  type Offload,
  OPTIMIZERS,
  type OptimizerKind,
  PRECISIONS,
  type Precision,
  RECOMPUTE,
  type Recompute,
  TARGETS,
  type Target,
} from './words.js'

/** The optimizer of a module. */
export interface OptimizerOptions {
  /** `sgd` has Nesterov's momentum; default `adamw`. */
  readonly optimizer?: OptimizerKind
  /** Not on 1-D parameters and bias tables; default 0.05. */
  readonly weightDecay?: number
  /** AdamW's decay rates of the moments; default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** AdamW's epsilon; default 1e-8. */
  readonly eps?: number
  /** SGD's, in [0, 1); default 0.9. */
  readonly momentum?: number
}

/** Options of the optimizer, the losses and the memory they take, the same for every method. */
export interface OptimizationOptions extends OptimizerOptions {
  /** Of the cross-entropy, in [0, 1); default 0. */
  readonly labelSmoothing?: number
  /**
   * What is computed again in the backward pass rather than kept; the gradients are the same.
   * `none`: nothing, as PyTorch's autograd has it. `selective`: inside a block what is cheap, the
   * outputs of its norms, of GELU and of the attention heads, and in maps of up to 256 channels (512
   * where products of bfloat16 are many times as fast: on a card, or with AMX) the first product of
   * each branch; nothing between norm and linear layer of patch embedding and mergings.
   * `block`: every unit from its input
   * (Chen et al., arXiv 1604.06174), a few samples at a time. Default `none`; of a training
   * configuration, and so of `localformer train`, `selective`.
   */
  readonly recompute?: Recompute
  /**
   * Micro-batches that a batch is taken in, one after the other; their gradients add up to one
   * update. The result is that of the whole batch, but for rounding. Default 1.
   */
  readonly accumulate?: number
  /**
   * Of matrix products and convolutions. With `bfloat16` weights, optimizer, residual stream,
   * normalisation and losses stay float32, as in PyTorch's autocast. Default `float32`.
   */
  readonly dtype?: Dtype
  /**
   * Of products and convolutions in float32 on CUDA: `tf32` rounds what they multiply to 10 bits of
   * mantissa, which tensor cores are quick at, `ieee` does not. Both follow this one option (PyTorch's
   * defaults differ: IEEE products, TF32 convolutions). No effect on the CPU. Default `ieee`.
   */
  readonly precision?: Precision
  /**
   * Which of LibTorch's parts computes the products of linear layers on the CPU. `tuned`: the fastest,
   * measured at the first product of a shape and remembered, in the trainer's state too; small
   * products as with `mkl`, but in float32 where a processor has no instructions for bfloat16.
   * `onednn`: oneDNN, unmeasured. `mkl`: LibTorch's own choice, in float32 MKL. They differ by rounding.
   * No effect on CUDA. Default `tuned`.
   */
  readonly math?: MathMode
  /** Of the auxiliary parts' weights and of stochastic depth; default 0. */
  readonly seed?: number
}

/** A weight, or the first module's and that of the last but one, linear in between. */
export type Weight = number | readonly [number, number]

/** Options of local learning. Defaults of the losses are those of the method. */
export interface LocalOptions extends OptimizationOptions {
  /** Default `paper`. */
  readonly method?: Exclude<Method, 'backprop'>
  /** Number of modules K, at least 1; default: what the split makes, or 4. */
  readonly modules?: number
  /** Where the network is cut; default `stages`. */
  readonly split?: Split
  /** Batch size for which `balanced` weighs activations against gradients; default 32. */
  readonly balanceFor?: number
  /** What a module reconstructs from its output. */
  readonly target?: Target
  /** What reconstructs it; default `linear`, for `infopro` that method's, which takes images only. */
  readonly decoder?: DecoderKind
  /** Channels between the two convolutions of decoder `conv`, a multiple of 8; default 48. */
  readonly decoderHidden?: number
  /** Swin blocks of decoder `transformer`; default 1. */
  readonly decoderDepth?: number
  /** What tells the class from a module's output; default `linear`. */
  readonly head?: HeadKind
  /** Width of head `mlp`; default that of the features. */
  readonly headHidden?: number
  /** Swin blocks of head `transformer`; default 1. */
  readonly headDepth?: number
  /** How reconstruction and target are compared; default `mse`, for `infopro` `bce`. */
  readonly distance?: Distance
  /** Weight a of the label loss in every module but the last; default 1. */
  readonly labelWeight?: Weight
  /** Weight b of the reconstruction loss; default 1. */
  readonly reconstructionWeight?: Weight
  /** Weight c of the residual branches' energy, TRGL's 1 / (2 tau); default 0, for `trgl` 0.05. */
  readonly penaltyWeight?: number
  /** Share of the output's tokens that are reconstructed, drawn anew in each step; default 1. */
  readonly sample?: number
  /**
   * Samples in a chunk of the head's and decoder's losses. Smaller chunks take less memory and give
   * the same result; default: a sixteenth of the batch, where head or decoder have Swin blocks half
   * of that, but 2048 tokens at least (of a reconstructed image pixels). On CUDA a sixth, in bfloat16 a
   * twelfth, with at most 64 MiB in a chunk's largest map; the default head and decoder take the whole
   * batch there (method.md, section 9).
   */
  readonly chunkSize?: number
  /**
   * What of a module waits in host memory, pinned where the device is a GPU, while the module is not
   * at work. `optimizer`: the optimizer's state and the average of the weights. `modules`: the
   * weights too, so that the device holds those of one module and the next, not the network's. The
   * result is the same bit for bit. On the CPU, which has one memory, it saves nothing: there the
   * host's part is memory that the statistics do not count, for tests and predictions. Default
   * `none`.
   */
  readonly offload?: Offload
  /** Optimizers of single modules, by index, over those of all; null or missing: as all. */
  readonly perModule?: readonly (OptimizerOptions | null)[]
}

/** The optimizer's, which a single module can have of its own. */
export const OPTIMIZER = {
  optimizer: {
    ...{ schema: () => oneOf(OPTIMIZERS), default: 'adamw', native: 'optimizer.kind' },
    config: 'name',
    help: "sgd has Nesterov's momentum",
  },
  weightDecay: {
    ...{ schema: () => number(0), default: 0.05, native: 'optimizer.weightDecay' },
    config: 'weightDecay',
    help: 'Not on 1-D parameters and bias tables',
  },
  betas: {
    ...{ schema: betas, default: [0.9, 0.999], native: 'optimizer.betas' },
    config: 'betas',
    help: "AdamW's decay rates of the moments",
  },
  eps: {
    ...{ schema: () => positive(), default: 1e-8, native: 'optimizer.eps' },
    config: 'eps',
    help: "AdamW's epsilon",
  },
  momentum: {
    ...{ schema: () => number(0, { below: 1 }), default: 0.9, native: 'optimizer.momentum' },
    config: 'momentum',
    help: "SGD's momentum",
  },
} as const satisfies RowsOf<OptimizerOptions>

/** The same for every method, end-to-end backpropagation too. */
export const SHARED = {
  ...OPTIMIZER,
  labelSmoothing: {
    ...{ schema: () => number(0, { below: 1 }), default: 0 },
    config: 'labelSmoothing',
    help: 'Of the cross-entropy',
  },
  recompute: {
    ...{ schema: () => oneOf(RECOMPUTE), default: 'none', key: 'recompute' },
    help: 'What is computed again in the backward pass',
  },
  accumulate: {
    ...{ schema: () => integer(1), default: 1, key: 'accumulate' },
    help: 'Micro-batches of a step',
  },
  dtype: {
    ...{ schema: () => oneOf(DTYPES), default: 'float32', key: 'dtype' },
    help: 'Of matrix products and convolutions',
  },
  precision: {
    ...{ schema: () => oneOf(PRECISIONS), default: 'ieee', key: 'precision' },
    help: 'Of float32 products and convolutions on CUDA; without effect on the CPU',
  },
  math: {
    ...{ schema: () => oneOf(MATHS), default: 'tuned', key: 'math' },
    help: 'What computes products on the CPU: the fastest by measuring, oneDNN or MKL',
  },
  seed: { schema: () => integer(0), default: 0, native: null, help: 'Of the random numbers' },
} as const satisfies RowsOf<OptimizationOptions>

/** Of local learning alone. */
const LOCAL = {
  method: {
    ...{ schema: () => oneOf(LOCAL_METHODS), default: 'paper', native: null },
    help: 'How it is trained',
  },
  modules: { schema: () => integer(1, 1024), native: null, help: 'Number of modules K' },
  split: {
    schema: () =>
      zod().union(
        [
          zod().enum(['stages', 'balanced', 'timed', 'blocks']),
          zod().array(zod().union([zod().number(), zod().string()])),
        ],
        {
          error:
            '"stages", "balanced", "timed", "blocks" or a list of stages or units to cut behind',
        },
      ),
    ...{ default: 'stages', native: null, key: 'split', read: cuts },
    help: 'stages, balanced, timed, blocks or cuts joined by +',
  },
  balanceFor: {
    ...{ schema: () => integer(1), default: 32, native: null },
    help: 'Batch size of a balanced split',
  },
  target: {
    ...{ schema: () => oneOf(TARGETS), key: 'target', isOfMethod: true },
    help: 'What is reconstructed',
  },
  decoder: {
    ...{ schema: () => oneOf(DECODERS), key: 'decoder', isOfMethod: true },
    ...{ native: 'decoder.kind', help: 'What reconstructs it' },
  },
  decoderHidden: {
    schema: () => integer(8, 4096).multipleOf(8, { error: 'a multiple of 8 from 8 to 4096' }),
    ...{ default: 48, key: 'hidden', isOfMethod: true },
    ...{ native: 'decoder.hidden', help: 'Channels of decoder conv' },
  },
  decoderDepth: {
    ...{ schema: () => integer(1, 24), default: 1, key: 'decoder-depth', isOfMethod: true },
    ...{ native: 'decoder.depth', help: 'Blocks of decoder transformer' },
  },
  head: {
    ...{ schema: () => oneOf(HEADS), default: 'linear', key: 'head', native: 'head.kind' },
    help: "Tells the class from a module's output",
  },
  headHidden: {
    ...{ schema: () => integer(1, 65_536), key: 'head-hidden', native: 'head.hidden' },
    help: 'Width of head mlp',
  },
  headDepth: {
    ...{ schema: () => integer(1, 24), default: 1, key: 'head-depth', native: 'head.depth' },
    help: 'Blocks of head transformer',
  },
  distance: {
    ...{ schema: () => oneOf(DISTANCES), key: 'distance', isOfMethod: true },
    help: 'Compares with the target',
  },
  labelWeight: {
    ...{ schema: weight, key: 'a', read: range, isOfMethod: true },
    help: 'Weight of the labels, or a range 0..2',
  },
  reconstructionWeight: {
    ...{ schema: weight, key: 'b', read: range, isOfMethod: true },
    help: 'Weight of the reconstruction',
  },
  penaltyWeight: {
    ...{ schema: () => number(0), key: 'c', isOfMethod: true },
    help: 'Weight of the penalty of trgl',
  },
  sample: {
    ...{ schema: () => positive(1), default: 1, key: 'sample', isOfMethod: true },
    help: 'Share of the tokens that are reconstructed',
  },
  chunkSize: {
    ...{ schema: () => integer(1), key: 'chunk' },
    help: 'Samples in a chunk of the auxiliary losses',
  },
  offload: {
    ...{ schema: () => oneOf(OFFLOAD), default: 'none', key: 'offload' },
    help: 'What of the other modules waits in host memory',
  },
} as const satisfies RowsOf<Omit<LocalOptions, keyof OptimizationOptions | 'perModule'>>

/** All but `perModule`, which is the optimizer's again. */
export const OPTIONS = { ...LOCAL, ...SHARED }

/** The same for whoever walks the rows. */
export const OPTION_ROWS: Readonly<Record<string, OptionRow>> = OPTIONS

function betas() {
  const rate = number(0, { below: 1 })
  return zod().tuple([rate, rate], { error: 'two numbers below 1' })
}

function weight() {
  const error = 'a number of at least 0, or two of them, for the first module and the last but one'
  const one = zod().number({ error }).min(0, { error })
  return zod().union([one, zod().tuple([one, one])], { error })
}

/** `2`, or `0..2` from the first module to the last but one. */
function range(text: string) {
  const parts = text.split('..').map(Number)
  return parts.length === 1 ? parts[0] : parts
}

function cuts(text: string) {
  if (['stages', 'balanced', 'timed', 'blocks'].includes(text)) return text
  return text.split('+').map((cut) => (/^\d+$/.test(cut) ? Number(cut) : cut))
}

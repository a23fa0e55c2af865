// The words that options and run specs are written in, and their types.

export const LOCAL_METHODS = ['paper', 'infopro', 'greedy', 'trgl'] as const

/**
 * - `backprop`: end to end.
 * - `paper`: labels and reconstructed input features (arXiv 2212.14215).
 * - `infopro`: labels and the reconstructed image (Wang et al., ICLR 2021).
 * - `greedy`: labels alone.
 * - `trgl`: labels, and a penalty on the energy of the residual branches (arXiv 2309.17357).
 */
export const METHODS = ['backprop', ...LOCAL_METHODS] as const
export type Method = (typeof METHODS)[number]

export const TARGETS = ['features', 'image', 'none'] as const
export type Target = (typeof TARGETS)[number]

export const DECODERS = ['linear', 'conv', 'transformer', 'infopro'] as const
export type DecoderKind = (typeof DECODERS)[number]

export const HEADS = ['linear', 'mlp', 'transformer', 'later-stages'] as const
export type HeadKind = (typeof HEADS)[number]

export const DISTANCES = ['mse', 'l1', 'bce'] as const
export type Distance = (typeof DISTANCES)[number]

export const RECOMPUTE = ['none', 'selective', 'block'] as const
export type Recompute = (typeof RECOMPUTE)[number]

export const OFFLOAD = ['none', 'optimizer', 'modules'] as const
export type Offload = (typeof OFFLOAD)[number]

export const DTYPES = ['float32', 'bfloat16'] as const
export type Dtype = (typeof DTYPES)[number]

export const PRECISIONS = ['ieee', 'tf32'] as const
export type Precision = (typeof PRECISIONS)[number]

/** Of products on the CPU; see `OptimizationOptions`. */
export const MATHS = ['tuned', 'onednn', 'mkl'] as const
export type MathMode = (typeof MATHS)[number]

export const OPTIMIZERS = ['adamw', 'sgd'] as const
export type OptimizerKind = (typeof OPTIMIZERS)[number]

/** Of a module's step, in order. */
export const PHASES = ['forward', 'losses', 'backward', 'update'] as const
export type Phase = (typeof PHASES)[number]

// Methods (METHOD is a preset over one definition) and their options, shared by the trainers, the
// run specs of the command line and the records of a run.
import type { z } from 'zod'
import { LocalformerError } from './errors.js'
import type { Split } from './splits.js'
import { integer, lazy, number, oneOf, parseOptions, zod } from './validate.js'

/** `backprop` end to end; `paper` labels and reconstructed input features; `greedy` labels alone. */
export const METHODS = ['backprop', 'paper', 'greedy'] as const
export type Method = (typeof METHODS)[number]

export const DECODERS = ['linear', 'conv'] as const
export type DecoderKind = (typeof DECODERS)[number]

export const RECOMPUTE = ['none', 'block'] as const
export type Recompute = (typeof RECOMPUTE)[number]

/** Options of the optimizer, the losses and the memory they take, the same for every method. */
export interface OptimizationOptions {
  /** AdamW's weight decay, not on 1-D parameters and bias tables; default 0.05. */
  readonly weightDecay?: number
  /** AdamW's decay rates of the moments; default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** AdamW's epsilon; default 1e-8. */
  readonly eps?: number
  /** Of the cross-entropy, in [0, 1); default 0. */
  readonly labelSmoothing?: number
  /**
   * `block`: keep only the input of each unit and run the unit forward again in the backward pass
   * (Chen et al., arXiv 1604.06174), which takes less memory and more time and gives the same
   * gradients; default `none`.
   */
  readonly recompute?: Recompute
  /**
   * Micro-batches that a batch is taken in, one after the other; their gradients add up to one
   * update. The result is that of the whole batch, but for rounding and for stochastic depth's coins.
   * Default 1.
   */
  readonly accumulate?: number
  /** Of the auxiliary parts' weights and of stochastic depth; default 0. */
  readonly seed?: number
}

/** Options of local learning. */
export interface LocalOptions extends OptimizationOptions {
  /** Default `paper`. */
  readonly method?: Exclude<Method, 'backprop'>
  /** Number of modules K, at least 1; default 4. */
  readonly modules?: number
  /** Where the network is cut; default `stages`. */
  readonly split?: Split
  /** What reconstructs a module's input features from its output; default `linear`. */
  readonly decoder?: DecoderKind
  /** Channels between the two convolutions of decoder `conv`, a multiple of 8; default 48. */
  readonly decoderHidden?: number
  /** Weight a of the label loss in every module but the last; default 1. */
  readonly labelWeight?: number
  /** Weight b of the reconstruction loss; default 1. */
  readonly reconstructionWeight?: number
  /**
   * Samples in a chunk of the head's and decoder's losses. Smaller chunks take less memory and give
   * the same result; default: an eighth of the batch.
   */
  readonly chunkSize?: number
}

const optimization = lazy(() => ({
  weightDecay: number(0).default(0.05),
  betas: zod()
    .tuple([number(0, { below: 1 }), number(0, { below: 1 })], { error: 'two numbers below 1' })
    .default([0.9, 0.999]),
  eps: number(Number.MIN_VALUE).default(1e-8),
  labelSmoothing: number(0, { below: 1 }).default(0),
  recompute: oneOf(RECOMPUTE).default('none'),
  accumulate: integer(1).default(1),
  seed: integer(0).default(0),
}))

const localSchema = lazy(() =>
  zod().object({
    ...optimization(),
    method: oneOf(['paper', 'greedy']).default('paper'),
    modules: integer(1, 1024).default(4),
    split: zod()
      .union([zod().literal('stages'), zod().array(zod().number())], {
        error: '"stages" or a list of stage numbers',
      })
      .default('stages'),
    decoder: oneOf(DECODERS).default('linear'),
    decoderHidden: integer(8, 4096)
      .multipleOf(8, { error: 'a multiple of 8 from 8 to 4096' })
      .default(48),
    labelWeight: number(0).default(1),
    reconstructionWeight: number(0).default(1),
    chunkSize: integer(1).optional(),
  }),
)

const backpropSchema = lazy(() => zod().object(optimization()))

export type ResolvedLocalOptions = z.output<ReturnType<typeof localSchema>>
export type ResolvedOptimization = z.output<ReturnType<typeof backpropSchema>>

/** @throws {LocalformerError} `ERR_CONFIG` */
export function resolveLocalOptions(options: LocalOptions = {}): ResolvedLocalOptions {
  return parseOptions(localSchema(), options)
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function resolveBackpropOptions(options: OptimizationOptions = {}): ResolvedOptimization {
  return parseOptions(backpropSchema(), options)
}

/** One configuration as a run spec names it: `METHOD[:K][,key=value...]`. */
export interface RunSpec {
  /** As it was written. */
  readonly text: string
  readonly method: Method
  readonly modules: number
  readonly split: Split
  readonly decoder: DecoderKind
  readonly decoderHidden: number
  readonly chunkSize?: number
  readonly recompute: Recompute
  readonly accumulate: number
}

/** Keys of a run spec and the options they set. */
const SPEC_KEYS: Readonly<Record<string, keyof LocalOptions>> = {
  decoder: 'decoder',
  split: 'split',
  hidden: 'decoderHidden',
  chunk: 'chunkSize',
  recompute: 'recompute',
  accumulate: 'accumulate',
}
const BACKPROP_KEYS = ['recompute', 'accumulate']

/**
 * @throws {LocalformerError} `ERR_CONFIG` that names what is allowed.
 */
export function parseRunSpec(text: string): RunSpec {
  const [head = '', ...pairs] = text.split(',')
  const [method = '', count, ...rest] = head.split(':')
  if (!METHODS.includes(method as Method) || rest.length > 0) {
    throw specError(text, `the method is one of ${METHODS.join(', ')}, then :K, e.g. paper:4`)
  }
  const modules = count === undefined ? (method === 'backprop' ? 1 : 4) : Number(count)
  if (!Number.isInteger(modules) || modules < 1) {
    throw specError(text, `the number of modules K is a whole number of at least 1, not "${count}"`)
  }
  if (method === 'backprop' && modules !== 1) throw specError(text, 'backprop has one module')
  const options = readPairs(text, pairs, method === 'backprop' ? BACKPROP_KEYS : undefined)
  try {
    const { split, decoder, decoderHidden, chunkSize, recompute, accumulate } = resolveLocalOptions(
      {
        ...options,
        modules,
      },
    )
    return {
      text,
      method: method as Method,
      modules,
      split,
      decoder,
      decoderHidden,
      ...(chunkSize === undefined ? {} : { chunkSize }),
      recompute,
      accumulate,
    }
  } catch (error) {
    throw error instanceof LocalformerError ? specError(text, error.message) : error
  }
}

function readPairs(
  text: string,
  pairs: readonly string[],
  allowed: readonly string[] = Object.keys(SPEC_KEYS),
): LocalOptions {
  const options: Record<string, unknown> = {}
  for (const pair of pairs) {
    const [key = '', value = ''] = pair.split(/=(.*)/s)
    const name = allowed.includes(key) ? SPEC_KEYS[key] : undefined
    if (name === undefined) {
      throw specError(text, `unknown key "${key}"; allowed are ${allowed.join(', ')}`)
    }
    if (name in options) throw specError(text, `"${key}" is given twice`)
    options[name] = readValue(name, value)
  }
  return options as LocalOptions
}

function readValue(name: string, value: string): unknown {
  if (name === 'decoder' || name === 'recompute') return value
  if (name === 'split') return value === 'stages' ? value : value.split('+').map(Number)
  return Number(value)
}

function specError(text: string, problem: string): LocalformerError {
  return new LocalformerError('ERR_CONFIG', `Run spec "${text}": ${problem}`, {
    hint: 'A run spec reads METHOD[:K][,key=value...], e.g. paper:4,decoder=conv or backprop,recompute=block.',
  })
}

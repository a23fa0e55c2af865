// Methods, presets over one definition (docs/method.md, section 7), and their options, shared by the
// trainers, the run specs of the command line and the records of a run.
import type { z } from 'zod'
import { LocalformerError } from '../base/errors.js'
import {
  definedOf,
  integer,
  lazy,
  number,
  oneOf,
  parseOptions,
  positive,
  zod,
} from '../base/validate.js'
import { describeSplit, modulesOf, type Split } from './splits.js'

/**
 * - `backprop`: end to end.
 * - `paper`: labels and reconstructed input features (arXiv 2212.14215).
 * - `infopro`: labels and the reconstructed image (Wang et al., ICLR 2021).
 * - `greedy`: labels alone.
 * - `trgl`: labels, and a penalty on the energy of the residual branches (arXiv 2309.17357).
 */
export const METHODS = ['backprop', 'paper', 'infopro', 'greedy', 'trgl'] as const
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

export const DTYPES = ['float32', 'bfloat16'] as const
export type Dtype = (typeof DTYPES)[number]

export const OPTIMIZERS = ['adamw', 'sgd'] as const

/** The optimizer of a module. */
export interface OptimizerOptions {
  /** `sgd` has Nesterov's momentum; default `adamw`. */
  readonly optimizer?: (typeof OPTIMIZERS)[number]
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
   * `selective`: inside a block what is cheap, the outputs of its second norm and of GELU. `block`:
   * every unit from its input (Chen et al., arXiv 1604.06174), a few samples at a time. Default
   * `none`.
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
   * of that, but 512 tokens at least.
   */
  readonly chunkSize?: number
  /** Optimizers of single modules, by index, over those of all; null or missing: as all. */
  readonly perModule?: readonly (OptimizerOptions | null)[]
}

/** @internal The optimizer's options by their names, without defaults. */
export const optimizerShape = lazy(() => ({
  optimizer: oneOf(OPTIMIZERS).describe("sgd has Nesterov's momentum"),
  weightDecay: number(0).describe('Not on 1-D parameters and bias tables'),
  betas: zod()
    .tuple([number(0, { below: 1 }), number(0, { below: 1 })], { error: 'two numbers below 1' })
    .describe("AdamW's decay rates of the moments"),
  eps: positive().describe("AdamW's epsilon"),
  momentum: number(0, { below: 1 }).describe("SGD's momentum"),
}))

/** @internal The same with their defaults, and what is the same for every method. */
export const optimizationShape = lazy(() => {
  const shape = optimizerShape()
  return {
    optimizer: shape.optimizer.default('adamw'),
    weightDecay: shape.weightDecay.default(0.05),
    betas: shape.betas.default([0.9, 0.999]),
    eps: shape.eps.default(1e-8),
    momentum: shape.momentum.default(0.9),
    labelSmoothing: number(0, { below: 1 }).default(0).describe('Of the cross-entropy'),
    recompute: oneOf(RECOMPUTE).default('none'),
    accumulate: integer(1).default(1),
    dtype: oneOf(DTYPES).default('float32'),
    seed: integer(0).default(0),
  }
})

const weight = () => {
  const error = 'a number of at least 0, or two of them, for the first module and the last but one'
  const one = zod().number({ error }).min(0, { error })
  return zod().union([one, zod().tuple([one, one])], { error })
}

const localSchema = lazy(() =>
  zod().object({
    ...optimizationShape(),
    method: oneOf(['paper', 'infopro', 'greedy', 'trgl']).default('paper'),
    modules: integer(1, 1024).optional(),
    split: zod()
      .union(
        [
          zod().literal('stages'),
          zod().literal('balanced'),
          zod().literal('blocks'),
          zod().array(zod().union([zod().number(), zod().string()])),
        ],
        { error: '"stages", "balanced", "blocks" or a list of stages or units to cut behind' },
      )
      .default('stages'),
    balanceFor: integer(1).default(32),
    target: oneOf(TARGETS).optional(),
    decoder: oneOf(DECODERS).optional(),
    decoderHidden: integer(8, 4096)
      .multipleOf(8, { error: 'a multiple of 8 from 8 to 4096' })
      .default(48),
    decoderDepth: integer(1, 24).default(1),
    head: oneOf(HEADS).default('linear'),
    headHidden: integer(1, 65_536).optional(),
    headDepth: integer(1, 24).default(1),
    distance: oneOf(DISTANCES).optional(),
    labelWeight: weight().optional(),
    reconstructionWeight: weight().optional(),
    penaltyWeight: number(0).optional(),
    sample: positive(1).default(1),
    chunkSize: integer(1).optional(),
    perModule: zod()
      .array(zod().object(optimizerShape()).partial().strict().nullable(), {
        error: 'a list of optimizers, one a module',
      })
      .optional(),
  }),
)

const backpropSchema = lazy(() => zod().object(optimizationShape()))

type ParsedLocal = z.output<ReturnType<typeof localSchema>>

/** What a method decides, unless an option says otherwise. */
interface Losses {
  readonly target: Target
  readonly decoder: DecoderKind
  readonly distance: Distance
  readonly labelWeight: Weight
  readonly reconstructionWeight: Weight
  readonly penaltyWeight: number
}

/** Options with the defaults of the method filled in. */
export type ResolvedLocalOptions = Omit<ParsedLocal, keyof Losses | 'modules'> &
  Losses & { readonly modules: number }
export type ResolvedOptimization = z.output<ReturnType<typeof backpropSchema>>

const LABELS_ALONE: Losses = {
  target: 'none',
  decoder: 'linear',
  distance: 'mse',
  labelWeight: 1,
  reconstructionWeight: 1,
  penaltyWeight: 0,
}

/** The methods as presets over the one definition. */
function preset(method: ResolvedLocalOptions['method'], modules: number): Losses {
  if (method === 'paper') return { ...LABELS_ALONE, target: 'features' }
  // tau = 10: what TRGL's repository (block-wise/module-wise, README) trains Swin on STL-10 with.
  if (method === 'trgl') return { ...LABELS_ALONE, penaltyWeight: 1 / (2 * 10) }
  if (method === 'greedy') return LABELS_ALONE
  // The weights that InfoPro's repository (blackfeather-wang/InfoPro-Pytorch, comand.sh) gives for
  // ResNet-32 on CIFAR-10.
  return {
    target: 'image',
    decoder: 'infopro',
    distance: 'bce',
    labelWeight: modules > 2 ? [0, 2] : 1,
    reconstructionWeight: modules > 2 ? [6, 1] : 5,
    penaltyWeight: 0,
  }
}

/** @throws {LocalformerError} `ERR_CONFIG`, for combinations that cannot be, too. */
export function resolveLocalOptions(options: LocalOptions = {}): ResolvedLocalOptions {
  const { modules: asked, ...o } = parseOptions(localSchema(), options)
  const modules = asked ?? (typeof o.split === 'string' ? 4 : o.split.length + 1)
  const losses = preset(o.method, modules)
  const target = o.target ?? losses.target
  const { decoder, distance } = target === losses.target ? losses : LABELS_ALONE
  const resolved = {
    ...losses,
    decoder,
    distance,
    ...definedOf(o),
    target,
    modules,
  } as ResolvedLocalOptions
  checkCombination(resolved)
  return resolved
}

function checkCombination(o: ResolvedLocalOptions): void {
  const refuse = (message: string, hint: string) => {
    throw new LocalformerError('ERR_CONFIG', message, { hint })
  }
  if (o.target === 'none') return
  if (o.distance === 'bce' && o.target !== 'image') {
    refuse(
      'Distance `bce` compares pixels, not features',
      'Use distance mse or l1, or target image.',
    )
  }
  if (o.decoder === 'infopro' && o.target !== 'image') {
    refuse('Decoder `infopro` gives an image, not features', 'Use linear, conv or transformer.')
  }
  if (normalisesBatch(o) && (o.chunkSize !== undefined || o.accumulate > 1)) {
    const what = o.accumulate > 1 ? `${o.accumulate} micro-batches` : `chunks of ${o.chunkSize}`
    refuse(
      `Decoder \`infopro\` normalises over the whole batch (BatchNorm) and cannot take it in ${what}`,
      'Leave chunks and accumulation out, or use decoder linear, conv or transformer.',
    )
  }
}

/** Has a module a norm over the batch, so that its losses cannot be taken in chunks? */
export function normalisesBatch({ target, decoder }: ResolvedLocalOptions): boolean {
  return target === 'image' && decoder === 'infopro'
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function resolveBackpropOptions(options: OptimizationOptions = {}): ResolvedOptimization {
  return parseOptions(backpropSchema(), options)
}

/** A weight of each of `modules` modules; the last one has its classifier's loss alone. */
export function weightsOf(value: Weight, modules: number): number[] {
  const [first, last] = typeof value === 'number' ? [value, value] : value
  // InfoPro's schedule: over the modules that have auxiliary losses.
  const share = (k: number) => (modules > 2 ? Math.min(1, k / (modules - 2)) : 0)
  return Array.from({ length: modules }, (_, k) => first + (last - first) * share(k))
}

/** One configuration as a run spec names it: `METHOD[:K][,key=value...]`. */
export interface RunSpec extends Omit<ResolvedLocalOptions, 'method'> {
  /** As it was written. */
  readonly text: string
  readonly method: Method
  /** Number of modules as it was written; undefined where the split decides. */
  readonly asked: number | undefined
  /** The options that it sets itself. */
  readonly given: LocalOptions
}

interface SpecKey {
  readonly option: keyof LocalOptions
  readonly read: (value: string) => unknown
  readonly help: string
  /** The values there are, where they are words. */
  readonly words?: readonly string[]
  /** Is there such a choice for `backprop` too? */
  readonly shared?: boolean
}

const word = (value: string) => value
const weights = (value: string) => {
  const parts = value.split('..').map(Number)
  return parts.length === 1 ? parts[0] : parts
}
const cuts = (value: string) =>
  ['stages', 'balanced', 'blocks'].includes(value)
    ? value
    : value.split('+').map((cut) => (/^\d+$/.test(cut) ? Number(cut) : cut))

/** @internal What help says about run specs. */
export const RUN_SPEC_HELP =
  'A run spec, METHOD[:K][,key=value...], e.g. paper:3,split=1+3,decoder=conv'

/** @internal Keys of a run spec and the options they set. */
export const SPEC_KEYS: Readonly<Record<string, SpecKey>> = {
  split: { option: 'split', read: cuts, help: 'stages, balanced, blocks or cuts joined by +' },
  target: { option: 'target', read: word, help: 'What is reconstructed', words: TARGETS },
  decoder: { option: 'decoder', read: word, help: 'What reconstructs it', words: DECODERS },
  hidden: { option: 'decoderHidden', read: Number, help: 'Channels of decoder conv' },
  'decoder-depth': { option: 'decoderDepth', read: Number, help: 'Blocks of decoder transformer' },
  head: {
    option: 'head',
    read: word,
    help: "Tells the class from a module's output",
    words: HEADS,
  },
  'head-hidden': { option: 'headHidden', read: Number, help: 'Width of head mlp' },
  'head-depth': { option: 'headDepth', read: Number, help: 'Blocks of head transformer' },
  distance: { option: 'distance', read: word, help: 'Compares with the target', words: DISTANCES },
  a: { option: 'labelWeight', read: weights, help: 'Weight of the labels, or a range 0..2' },
  b: { option: 'reconstructionWeight', read: weights, help: 'Weight of the reconstruction' },
  c: { option: 'penaltyWeight', read: Number, help: 'Weight of the penalty of trgl' },
  sample: { option: 'sample', read: Number, help: 'Share of the tokens that are reconstructed' },
  chunk: { option: 'chunkSize', read: Number, help: 'Samples in a chunk of the auxiliary losses' },
  recompute: {
    ...{ option: 'recompute', read: word, shared: true, words: RECOMPUTE },
    help: 'What is computed again in the backward pass',
  },
  accumulate: {
    ...{ option: 'accumulate', read: Number, shared: true },
    help: 'Micro-batches of a step',
  },
  dtype: {
    ...{ option: 'dtype', read: word, shared: true, words: DTYPES },
    help: 'Of matrix products and convolutions',
  },
}

/**
 * @throws {LocalformerError} `ERR_CONFIG` that names what is allowed.
 */
export function parseRunSpec(text: string): RunSpec {
  const [head = '', ...pairs] = text.split(',')
  const [method = '', count, ...rest] = head.split(':')
  if (!METHODS.includes(method as Method) || rest.length > 0) {
    throw specError(text, `the method is one of ${METHODS.join(', ')}, then :K, e.g. paper:4`)
  }
  const isBackprop = method === 'backprop'
  const modules = count === undefined ? undefined : Number(count)
  if (modules !== undefined && (!Number.isInteger(modules) || modules < 1)) {
    throw specError(text, `the number of modules K is a whole number of at least 1, not "${count}"`)
  }
  if (isBackprop && (modules ?? 1) !== 1) throw specError(text, 'backprop has one module')
  const allowed = Object.keys(SPEC_KEYS).filter((key) => !isBackprop || SPEC_KEYS[key]?.shared)
  const given = readPairs(text, pairs, allowed)
  const known = isBackprop ? 1 : modules
  try {
    const resolved = resolveLocalOptions({
      ...given,
      ...(isBackprop ? {} : { method: method as Exclude<Method, 'backprop'> }),
      ...(known === undefined ? {} : { modules: known }),
    })
    return { ...resolved, text, method: method as Method, asked: known, given }
  } catch (error) {
    if (!(error instanceof LocalformerError)) throw error
    throw specError(text, error.message, error.hint)
  }
}

/** Number of modules that a spec makes of a network; `blocks` follows its depths. */
export function modulesOfSpec({ split, modules, asked }: RunSpec, depths: readonly number[]) {
  return asked ?? modulesOf(split, depths) ?? modules
}

/** The spec with its split written out, so that it makes the same modules everywhere. */
export function pinSplit(spec: RunSpec, cuts: readonly string[]): string {
  if (spec.split !== 'balanced') return spec.text
  // A single module is cut nowhere, which no list of cuts can say.
  const written = cuts.length === 0 ? 'stages' : describeSplit(cuts)
  return spec.text.replace('split=balanced', `split=${written}`)
}

function readPairs(
  text: string,
  pairs: readonly string[],
  allowed: readonly string[],
): LocalOptions {
  const options: Record<string, unknown> = {}
  for (const pair of pairs) {
    const [key = '', value = ''] = pair.split(/=(.*)/s)
    const known = allowed.includes(key) ? SPEC_KEYS[key] : undefined
    if (known === undefined) {
      throw specError(text, `unknown key "${key}"; allowed are ${allowed.join(', ')}`)
    }
    if (known.option in options) throw specError(text, `"${key}" is given twice`)
    options[known.option] = known.read(value)
  }
  return options as LocalOptions
}

function specError(text: string, problem: string, hint?: string): LocalformerError {
  return new LocalformerError('ERR_CONFIG', `Run spec "${text}": ${problem}`, {
    hint:
      hint ??
      'A run spec reads METHOD[:K][,key=value...], e.g. paper:4,decoder=conv or backprop,recompute=block.',
  })
}

// SwinTransformer: the network as scripts see it. It knows nothing of how it is trained.

import { expected, LocalformerError } from '../base/errors.js'
import { integer, lazy, number, oneOf, parseOptions, zod } from '../base/validate.js'
import { type ImageBatch, labelled, toNativeBatch, unmixed } from '../batch/batch.js'
import { checkDeviceName, DEVICE_NAMES, type DeviceName, resolveDevice } from '../device/device.js'
import type {
  NativeModel,
  NativeModelOptions,
  NativeModuleCost,
  NativeParameter,
  NativeTensors,
  NativeUnit,
} from '../native/contract.js'
import { Handle } from '../native/handle.js'
import { awaitNative, loadTorch } from '../native/load.js'
import { tensorsOf } from '../native/tensors.js'
import type { UnitCost } from './balance.js'
import type { BatchEvaluation, Logits } from './evaluation.js'
import { DTYPES, type Dtype, RECOMPUTE, type Recompute } from './words.js'

/**
 * Published sizes (Liu et al., arXiv 2103.14030, section 3.3); `micro` is ours, for trying things
 * out in seconds.
 */
export const VARIANTS = {
  tiny: { embedDim: 96, depths: [2, 2, 6, 2], heads: [3, 6, 12, 24] },
  small: { embedDim: 96, depths: [2, 2, 18, 2], heads: [3, 6, 12, 24] },
  base: { embedDim: 128, depths: [2, 2, 18, 2], heads: [4, 8, 16, 32] },
  large: { embedDim: 192, depths: [2, 2, 18, 2], heads: [6, 12, 24, 48] },
  micro: { embedDim: 32, depths: [1, 1, 2, 1], heads: [1, 2, 4, 8] },
} as const

export type Variant = keyof typeof VARIANTS

export interface SwinOptions {
  /** Sizes to start from; default `tiny`. */
  readonly variant?: Variant
  /** Side of the square input in pixels, a multiple of the patch size; default 224. */
  readonly imageSize?: number
  /** Side of a patch in pixels; default 4. */
  readonly patchSize?: number
  /**
   * Side of an attention window in tokens; it must divide every stage's map, and shrinks to maps
   * that are smaller. Default: 7, or the largest of 7, 6, 5, 4, 3, 2 that divides (32 px: 4, 96 px: 6).
   */
  readonly windowSize?: number
  /** Width of the first stage; doubles with every stage. Default: the variant's. */
  readonly embedDim?: number
  /** Blocks in each stage. Default: the variant's. */
  readonly depths?: readonly number[]
  /** Attention heads in each stage. Default: the variant's. */
  readonly heads?: readonly number[]
  /** Hidden width of the MLP over its input's width; default 4. */
  readonly mlpRatio?: number
  /** Stochastic depth of the last block, growing linearly from 0; in [0, 1), default 0. */
  readonly dropPath?: number
  /** Number of classes; default 10. */
  readonly classes?: number
  /** Default `auto`. */
  readonly device?: DeviceName
  /** Of the initial weights; default 0. */
  readonly seed?: number
}

/** Sizes of a network with every default filled in. */
export type SwinConfig = NativeModelOptions

/** A piece of the network between which it can be cut. */
export type Unit = NativeUnit

/** Name and shape of a parameter. */
export type Parameter = NativeParameter

/** Parameter values by timm's names. */
export type Tensors = NativeTensors

const perStage = () =>
  zod()
    .array(integer(1, 1024), { error: 'a list of whole numbers, one a stage' })
    .min(1, { error: 'at least one stage' })
    .max(8, { error: 'at most 8 stages' })

const schema = lazy(() =>
  zod().object({
    variant: oneOf(Object.keys(VARIANTS) as [Variant, ...Variant[]])
      .default('tiny')
      .describe('Sizes of the network'),
    imageSize: integer(1, 4096).default(224).describe("Side of the network's input in pixels"),
    patchSize: integer(1, 64).default(4).describe('Side of a patch in pixels'),
    windowSize: integer(1, 64)
      .optional()
      .describe('Side of an attention window in tokens; default: what fits'),
    embedDim: integer(1, 4096)
      .optional()
      .describe("Width of the first stage; default: the variant's"),
    depths: perStage().optional().describe("Blocks in each stage; default: the variant's"),
    heads: perStage().optional().describe("Attention heads in each stage; default: the variant's"),
    mlpRatio: number(0.25, { max: 16 }).default(4).describe("Width of the MLP over its input's"),
    dropPath: number(0, { below: 1 }).default(0).describe('Stochastic depth of the last block'),
    classes: integer(1, 100_000).default(10),
    device: zod().string({ error: DEVICE_NAMES }).default('auto'),
    seed: integer(0).default(0),
  }),
)

const measuringSchema = lazy(() => integer(1, 65_536))

const costSchema = lazy(() =>
  zod().object({
    recompute: oneOf(RECOMPUTE).default('none'),
    dtype: oneOf(DTYPES).default('float32'),
  }),
)

/** @internal Each option by its name, for the configuration and the command line. */
export const swinShape = () => schema().shape

/**
 * Sizes with every default filled in.
 *
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function resolveSwinConfig(options: SwinOptions = {}): SwinConfig & { device: DeviceName } {
  const { variant, device, ...o } = parseOptions(schema(), options)
  checkDeviceName(device)
  const sizes = VARIANTS[variant]
  const depths = o.depths ?? sizes.depths
  const config = {
    ...o,
    device,
    embedDim: o.embedDim ?? sizes.embedDim,
    depths,
    heads: o.heads ?? sizes.heads,
    windowSize: o.windowSize ?? defaultWindow(o.imageSize / o.patchSize, depths.length),
  }
  checkSizes(config)
  return config
}

// Every division that the network makes. The core checks them too; here they are told on a machine
// without LibTorch, and before anything is loaded.
function checkSizes({
  imageSize,
  patchSize,
  windowSize,
  embedDim,
  depths,
  heads,
}: SwinConfig): void {
  const refuse = (what: string, name: string, received: string, hint?: string) => {
    const message = `Expected ${what} for \`${name}\` but received ${received}`
    throw new LocalformerError('ERR_CONFIG', message, hint === undefined ? {} : { hint })
  }
  if (heads.length !== depths.length) {
    const received = `${depths.length} depths and ${heads.length} heads`
    refuse('one entry a stage', 'depths` and `heads', received)
  }
  if (imageSize % patchSize !== 0) {
    refuse(`a multiple of the patch size ${patchSize}`, 'imageSize', `${imageSize}`)
  }
  let map = imageSize / patchSize
  for (const [stage, count] of heads.entries()) {
    const where = `in stage ${stage + 1}`
    if (stage > 0 && map % 2 !== 0) {
      const what = `an image size that halves ${depths.length - 1} times after the patch embedding`
      refuse(what, 'imageSize', `${imageSize}: the map before stage ${stage + 1} is ${map} wide`)
    }
    if (stage > 0) map /= 2
    const width = embedDim * 2 ** stage
    if (width % count !== 0) {
      const received = `${count} heads for width ${width} ${where}`
      refuse('a number of heads that divides the width', 'heads', received)
    }
    if (map > windowSize && map % windowSize !== 0) {
      refuse(
        'a window that divides the feature map',
        'windowSize',
        `window ${windowSize} for a map of ${map} x ${map} ${where}`,
        '224 px goes with window 7, 96 px with 6, 32 px with 4, at patch 4.',
      )
    }
  }
}

// The largest usual window that divides the map of every stage that is larger than it.
function defaultWindow(grid: number, stages: number): number {
  const maps = Array.from({ length: stages }, (_, stage) => grid / 2 ** stage)
  const fits = (window: number) => maps.every((map) => map <= window || map % window === 0)
  return [7, 6, 5, 4, 3, 2].find(fits) ?? 7
}

/**
 * A Swin Transformer (Liu et al., arXiv 2103.14030) with timm's parameter names and numerics.
 *
 * ```ts
 * await using model = await SwinTransformer.create({ imageSize: 32, classes: 10, seed: 0 })
 * ```
 */
export class SwinTransformer extends Handle<NativeModel> {
  readonly config: SwinConfig
  /** `cpu` or `cuda:N`. */
  readonly device: string
  /** Why this device was taken. */
  readonly deviceReason: string
  /** In order; the network can be cut between any two. */
  readonly units: readonly Unit[]
  readonly #children = new Set<Handle<{ dispose(): void }>>()

  private constructor(
    native: NativeModel,
    config: SwinConfig,
    device: { name: string; reason: string },
  ) {
    super('model', native)
    this.config = config
    this.device = device.name
    this.deviceReason = device.reason
    this.units = this.look((model) => model.units())
  }

  /**
   * Builds a network with random weights drawn from `seed`.
   *
   * @throws {LocalformerError} `ERR_CONFIG` for sizes that do not divide, `ERR_DEVICE_UNAVAILABLE`,
   *   `ERR_OUT_OF_MEMORY`, and what {@link load} throws.
   */
  static async create(options: SwinOptions = {}): Promise<SwinTransformer> {
    return SwinTransformer.of(resolveSwinConfig(options))
  }

  /** @internal Of options that {@link resolveSwinConfig} gave. */
  static async of({
    device: wanted,
    ...config
  }: ReturnType<typeof resolveSwinConfig>): Promise<SwinTransformer> {
    const device = resolveDevice(wanted)
    const native = await awaitNative(async () => loadTorch().createModel(config, device.name))
    return new SwinTransformer(native, config, device)
  }

  /** Number of learned values, auxiliary parts not included. */
  get parameterCount(): number {
    return this.units.reduce((sum, unit) => sum + unit.parameterCount, 0)
  }

  /** Names (timm's) and shapes of all parameters. */
  parameters(): readonly Parameter[] {
    return this.look((model) => model.parameters())
  }

  /** A copy of all parameters. */
  async readParameters(): Promise<Tensors> {
    return this.exclusive((model) => model.readParameters())
  }

  /**
   * Replaces the parameters that are named; all or none.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT` that lists unknown names and wrong shapes.
   */
  async writeParameters(values: Tensors): Promise<void> {
    const tensors = tensorsOf(values)
    return this.exclusive((model) => model.writeParameters(tensors))
  }

  /** Class logits `[count, classes]`, in evaluation mode. */
  async predict(batch: ImageBatch): Promise<Logits> {
    const input = unmixed(toNativeBatch(batch, this.config))
    return this.exclusive((model) => model.predict(input))
  }

  /** What the classifier says of a batch, in evaluation mode. */
  async evaluate(batch: ImageBatch): Promise<BatchEvaluation> {
    const input = unmixed(toNativeBatch(labelled(batch), this.config))
    return this.exclusive((model) => model.evaluate(input))
  }

  /**
   * Logits, mean cross-entropy and its gradient for every parameter, without an update and without
   * stochastic depth. For comparing the network with another implementation.
   */
  async gradients(batch: ImageBatch): Promise<{
    logits: { shape: readonly number[]; data: Float32Array }
    loss: number
    gradients: Tensors
  }> {
    const input = unmixed(toNativeBatch(labelled(batch), this.config))
    return this.exclusive((model) => model.gradients(input))
  }

  /**
   * What each unit takes of the device's memory in a training step on `batchSize` images, measured
   * by running it alone. Weights stay as they are.
   *
   * @throws {LocalformerError} `ERR_CONFIG`, `ERR_BUSY`, `ERR_DISPOSED`, `ERR_OUT_OF_MEMORY`.
   */
  async measureUnits(
    batchSize = 8,
    options: { readonly recompute?: Recompute; readonly dtype?: Dtype } = {},
  ): Promise<readonly UnitCost[]> {
    const parsed = measuringSchema().safeParse(batchSize)
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      throw new LocalformerError(
        'ERR_CONFIG',
        expected(issue?.message ?? '', 'batchSize', batchSize),
      )
    }
    const { recompute, dtype } = parseOptions(costSchema(), options)
    return this.exclusive((model) => model.measureUnits({ batchSize, recompute, dtype }))
  }

  /** @internal What a module of units [begin, end) takes, measured by training it alone on zeros. */
  async measureModule(
    options: Parameters<NativeModel['measureModule']>[0],
  ): Promise<NativeModuleCost> {
    return this.exclusive((model) => model.measureModule(options))
  }

  /** @internal Seconds of each unit in a step of `batchSize` images. */
  async timeUnits(options: Parameters<NativeModel['timeUnits']>[0]): Promise<number[]> {
    return this.exclusive((model) => model.timeUnits(options))
  }

  /** @internal Seconds of a step of a module of units [begin, end), without its update. */
  async timeModule(options: Parameters<NativeModel['timeModule']>[0]): Promise<number> {
    return this.exclusive((model) => model.timeModule(options))
  }

  /** Frees the network and every trainer made of it. */
  override dispose(): void {
    for (const child of this.#children) child.dispose()
    this.#children.clear()
    super.dispose()
  }

  /** @internal */
  adopt(child: Handle<{ dispose(): void }>): void {
    for (const one of this.#children) if (one.disposed) this.#children.delete(one)
    this.#children.add(child)
  }
}

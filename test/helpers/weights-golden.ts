// Checkpoints of timm, torchvision and Microsoft: test/fixtures/golden/make_weights_golden.py.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { SwinOptions } from '../../lib/local/swin-transformer.js'
import { writeCheckpoint } from '../../lib/weights/checkpoint.js'
import type { WeightFormat } from '../../lib/weights/formats.js'
import { type Formula, sizeOf, weightsOf } from './golden.js'

interface Network {
  /** In the order of their streams. */
  readonly parameters: readonly Formula[]
  /** [name, shape, torch's type]. */
  readonly buffers: readonly (readonly [string, readonly number[], string])[]
  readonly logits: readonly (readonly number[])[]
}

interface WeightsGolden {
  readonly small: Required<
    Pick<
      SwinOptions,
      'imageSize' | 'patchSize' | 'windowSize' | 'embedDim' | 'depths' | 'heads' | 'mlpRatio'
    >
  > & { readonly classes: number; readonly batch: number }
  readonly networks: Readonly<Record<WeightFormat, Network>>
  /** Swin-Tiny, 1000 classes, 224 px: names and shapes. */
  readonly stateDicts: Readonly<
    Record<WeightFormat, readonly (readonly [string, readonly number[]])[]>
  >
  readonly resizes: readonly {
    readonly stream: number
    readonly from: number
    readonly to: number
    readonly heads: number
    readonly values: readonly number[]
  }[]
  readonly relativePositionIndex: { readonly window: number; readonly values: readonly number[] }
}

const file = new URL('../../../test/fixtures/golden/weights.json', import.meta.url)

export const GOLDEN = JSON.parse(readFileSync(fileURLToPath(file), 'utf8')) as WeightsGolden

const { batch, ...sizes } = GOLDEN.small

/** Options of the network whose logits are known. */
export const SMALL = { ...sizes, device: 'cpu' } as const satisfies SwinOptions

export const BATCH = batch

/** Its weights as the package would write them: names, and buffers of whatever values. */
export async function writeAs(format: WeightFormat, place: string): Promise<void> {
  const { parameters, buffers } = GOLDEN.networks[format]
  const isIndex = (type: string) => type === 'torch.int64'
  const masks = buffers.filter(([, , type]) => !isIndex(type))
  const indices = buffers.filter(([, , type]) => isIndex(type))
  await writeCheckpoint(place, {
    tensors: {
      ...weightsOf(parameters),
      ...Object.fromEntries(
        masks.map(([name, shape]) => [name, { shape, data: new Float32Array(sizeOf(shape)) }]),
      ),
    },
    integers: Object.fromEntries(
      indices.map(([name, shape]) => [name, { shape, data: new BigInt64Array(sizeOf(shape)) }]),
    ),
    metadata: { format: 'pt' },
  })
}

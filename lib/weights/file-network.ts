// What network a file holds, told from names and shapes alone.
import { safeLine } from '../base/terminal.js'
import { VARIANTS, type Variant } from '../local/swin-transformer.js'
import { detectFormat, ourName, type WeightFormat } from './formats.js'
import { windowOfRows } from './position-bias.js'

/** Sizes of a Swin as far as its parameters show them. */
export interface FileNetwork {
  /** The published sizes that these are; null where there are none. */
  readonly variant: Variant | null
  readonly patchSize: number
  readonly embedDim: number
  readonly depths: readonly number[]
  readonly heads: readonly number[]
  readonly mlpRatio: number
  /** Of the first stage. */
  readonly windowSize: number
  /**
   * Side of the input in pixels if the last stage's map is one window, as in every published
   * network; no parameter shows it.
   */
  readonly imageSize: number
  /** Null in a file without a classifier. */
  readonly classes: number | null
}

type Shapes = ReadonlyMap<string, readonly number[]>

/** Shapes by our names; of tensors that come to the same name, the first. */
function shapesOf(
  format: WeightFormat,
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Shapes {
  const shapes = new Map<string, readonly number[]>()
  for (const { name, shape } of tensors) {
    const ours = ourName(format, name)
    if (ours !== undefined && !shapes.has(ours)) shapes.set(ours, shape)
  }
  return shapes
}

/** Undefined where the names are no Swin's, or lack what shows its sizes. */
export function networkOf(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
): FileNetwork | undefined {
  const format = detectFormat(tensors.map(({ name }) => name))
  if (format === undefined) return undefined
  const shapes = shapesOf(format, tensors)
  const depths = depthsOf([...shapes.keys()])
  const tables = depths.map((depth, stage) => tableOf(shapes, stage, depth))
  const windows = tables.map(([rows]) => windowOfRows(rows ?? 0))
  const heads = tables.map(([, count]) => count ?? 0)
  const [embedDim, , patchSize] = shapes.get('patch_embed.proj.weight') ?? []
  const [hidden] = shapes.get('layers.0.blocks.0.mlp.fc1.weight') ?? []
  const [windowSize, lastWindow] = [windows[0], windows.at(-1)]
  if (!embedDim || !patchSize || !hidden || !windowSize || !lastWindow) return undefined
  if (heads.includes(0)) return undefined
  return {
    variant: variantOf(embedDim, depths, heads),
    ...{ patchSize, embedDim, depths, heads, windowSize },
    mlpRatio: hidden / embedDim,
    imageSize: lastWindow * patchSize * 2 ** (depths.length - 1),
    classes: shapes.get('head.fc.weight')?.[0] ?? null,
  }
}

/** Blocks in each stage, by the largest number of one; larger numbers are no network's. */
function depthsOf(names: readonly string[]): number[] {
  const depths: number[] = []
  for (const name of names) {
    const [, stage, block] = /^layers\.(\d{1,3})\.blocks\.(\d{1,3})\./.exec(name) ?? []
    if (stage === undefined) continue
    depths[Number(stage)] = Math.max(depths[Number(stage)] ?? 0, Number(block) + 1)
  }
  return Array.from(depths, (depth) => depth ?? 0)
}

/** Shape of the first bias table of a stage that is there. */
function tableOf(shapes: Shapes, stage: number, depth: number): readonly number[] {
  for (let block = 0; block < depth; block++) {
    const name = `layers.${stage}.blocks.${block}.attn.relative_position_bias_table`
    const shape = shapes.get(name)
    if (shape) return shape
  }
  return []
}

function variantOf(
  embedDim: number,
  depths: readonly number[],
  heads: readonly number[],
): Variant | null {
  const text = JSON.stringify({ embedDim, depths, heads })
  const names = Object.keys(VARIANTS) as Variant[]
  return names.find((name) => JSON.stringify(VARIANTS[name]) === text) ?? null
}

type Sizes = Pick<FileNetwork, 'patchSize' | 'embedDim' | 'depths' | 'heads' | 'mlpRatio'>

/** The sizes that no resizing changes, in words. */
export function describeSizes({ patchSize, embedDim, depths, heads, mlpRatio }: Sizes): string {
  const variant = variantOf(embedDim, depths, heads)
  const ratio = mlpRatio === 4 ? '' : `, MLP ratio ${mlpRatio}`
  return (
    `a Swin${variant === null ? '' : ` ${variant}`} (patch ${patchSize}, width ${embedDim}, ` +
    `depths ${depths.join('-')}, heads ${heads.join('-')}${ratio})`
  )
}

const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/\.attn\.(logit_scale|cpb_mlp\.)/, 'a Swin Transformer V2'],
  [
    /\.attention\.self\.relative_position_bias_table$/,
    "a Swin with Hugging Face transformers' names",
  ],
  [/(^|\.)layer[1-4]\.\d+\.conv\d\.weight$/, 'a ResNet'],
  [/(^|\.)(dwconv|conv_dw|layer_scale)(\.weight)?$/, 'a ConvNeXt'],
  [/(^|\.)(cls_token|class_token)$/, 'a Vision Transformer'],
]

/** What a file seems to be, as a phrase. */
export function describeNetwork(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
): string {
  const other = OTHERS.find(([pattern]) => tensors.some(({ name }) => pattern.test(name)))
  if (other) return other[1]
  const network = networkOf(tensors)
  if (network) return describeSizes(network)
  if (tensors.length === 0) return 'a file without tensors'
  const names = tensors.slice(0, 3).map(({ name }) => safeLine(name))
  return `a network that is not known here (${names.join(', ')}${tensors.length > 3 ? ', ...' : ''})`
}

// Whose names a file has, and what they are here.
import { microsoft } from './microsoft.js'
import type { NameMap } from './name-map.js'
import { timm } from './timm.js'
import { torchvision } from './torchvision.js'

/** `microsoft` is also what timm wrote before version 0.9. */
export const FORMATS = ['timm', 'torchvision', 'microsoft'] as const

export type WeightFormat = (typeof FORMATS)[number]

const MAPS = { timm, torchvision, microsoft } as const satisfies Readonly<
  Record<WeightFormat, NameMap>
>

/** Formats that can be written. */
export const WRITTEN_FORMATS = ['timm', 'torchvision'] as const

export type WrittenFormat = (typeof WRITTEN_FORMATS)[number]

/** What is not loaded: buffers, which follow from the sizes, and heads and decoders of a run. */
export function isDropped(name: string): boolean {
  return /\.(attn_mask|relative_position_index)$|^auxiliary\./.test(bareName(name))
}

/** Our name of a tensor of a file; undefined for a name that is not one of the format. */
export function ourName(format: WeightFormat, name: string): string | undefined {
  const { toOurs, fromOurs } = MAPS[format]
  const bare = bareName(name)
  const ours = toOurs(bare)
  return fromOurs(ours) === bare ? ours : undefined
}

/** The name in `format` of one of our parameters. */
export function theirName(format: WrittenFormat, name: string): string {
  return MAPS[format].fromOurs(name)
}

/** Whose names these are; undefined for no Swin of any of them. */
export function detectFormat(names: readonly string[]): WeightFormat | undefined {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(bareName(name)))
  if (has(/^features\.\d+\.\d+\.attn\.qkv\.weight$/)) return 'torchvision'
  if (!has(/^layers\.\d+\.blocks\.\d+\.attn\.qkv\.weight$/)) return undefined
  // Only where the merging ends its stage does the first stage have one.
  return has(/^layers\.0\.downsample\./) ? 'microsoft' : 'timm'
}

// `model.` comes from a training checkpoint that was flattened, `module.` from DistributedDataParallel.
function bareName(name: string): string {
  return name.replace(/^(model\.|module\.)+/, '')
}

// torchvision's names: one list `features`, in which stages and mergings take turns.
//   features.0.0, .2        patch_embed.proj, .norm
//   features.{2i+1}.{j}     layers.{i}.blocks.{j}, with mlp.0 and mlp.3 for fc1 and fc2
//   features.{2i+2}         layers.{i+1}.downsample, the merging behind stage i
import type { NameMap } from './name-map.js'

export const torchvision: NameMap = {
  toOurs: (name) =>
    name
      .replace(/^head\./, 'head.fc.')
      .replace(/^features\.0\.0\./, 'patch_embed.proj.')
      .replace(/^features\.0\.2\./, 'patch_embed.norm.')
      .replace(/^features\.(\d*[13579])\.(\d+)\./, (_, place: string, block: string) => {
        return `layers.${(Number(place) - 1) / 2}.blocks.${block}.`
      })
      .replace(/^features\.(\d+)\.(norm|reduction)\./, (whole, place: string, part: string) => {
        const isMerging = Number(place) % 2 === 0 && Number(place) > 0
        return isMerging ? `layers.${Number(place) / 2}.downsample.${part}.` : whole
      })
      .replace(/^(layers\..*\.mlp\.)([03])\./, (_, path: string, place: string) => {
        return `${path}${place === '0' ? 'fc1' : 'fc2'}.`
      }),
  fromOurs: (name) =>
    name
      .replace(/^head\.fc\./, 'head.')
      .replace('.mlp.fc1.', '.mlp.0.')
      .replace('.mlp.fc2.', '.mlp.3.')
      .replace(/^patch_embed\.proj\./, 'features.0.0.')
      .replace(/^patch_embed\.norm\./, 'features.0.2.')
      .replace(/^layers\.(\d+)\.blocks\./, (_, stage: string) => `features.${2 * +stage + 1}.`)
      .replace(/^layers\.(\d+)\.downsample\./, (_, stage: string) => `features.${2 * +stage}.`),
}

/**
 * torchvision's buffer `relative_position_index`, flat: for every pair of tokens of a window, in
 * rows, the row of the bias table.
 */
export function relativePositionIndex(window: number): BigInt64Array {
  const tokens = window * window
  const side = 2 * window - 1
  return BigInt64Array.from({ length: tokens * tokens }, (_, pair) => {
    const [query, key] = [Math.floor(pair / tokens), pair % tokens]
    const down = Math.floor(query / window) - Math.floor(key / window) + window - 1
    const right = (query % window) - (key % window) + window - 1
    return BigInt(down * side + right)
  })
}

// Microsoft's names (github.com/microsoft/Swin-Transformer), which timm before 0.9 had too: the
// merging stands at the end of the stage before, and the classifier is `head`.
import type { NameMap } from './name-map.js'

export const microsoft: NameMap = {
  toOurs: (name) =>
    name
      .replace(/^head\./, 'head.fc.')
      .replace(/^layers\.(\d+)\.downsample\./, (_, stage: string) => {
        return `layers.${Number(stage) + 1}.downsample.`
      }),
  fromOurs: (name) =>
    name
      .replace(/^head\.fc\./, 'head.')
      .replace(/^layers\.(\d+)\.downsample\./, (_, stage: string) => {
        return `layers.${Number(stage) - 1}.downsample.`
      }),
}

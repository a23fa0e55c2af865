// Names and shapes of all parameters of a network of given sizes, in the order of the network: what
// SwinTransformer.parameters() gives, for work on files that needs no LibTorch.
import type { Parameter, SwinConfig } from '../local/swin-transformer.js'

export function parameterList(config: SwinConfig): readonly Parameter[] {
  const { embedDim, depths, patchSize, classes } = config
  const list: Parameter[] = []
  const add = (name: string, ...shape: readonly number[]) => list.push({ name, shape })
  const addBoth = (name: string, ...shape: readonly [number, ...number[]]) => {
    add(`${name}.weight`, ...shape)
    add(`${name}.bias`, shape[0])
  }
  addBoth('patch_embed.proj', embedDim, 3, patchSize, patchSize)
  addBoth('patch_embed.norm', embedDim)
  for (const [stage, depth] of depths.entries()) {
    const width = embedDim * 2 ** stage
    if (stage > 0) {
      addBoth(`layers.${stage}.downsample.norm`, 2 * width)
      add(`layers.${stage}.downsample.reduction.weight`, width, 2 * width)
    }
    const hidden = Math.trunc(width * config.mlpRatio)
    const rows = (2 * windowOfStage(config, stage) - 1) ** 2
    for (let block = 0; block < depth; block++) {
      const name = `layers.${stage}.blocks.${block}`
      addBoth(`${name}.norm1`, width)
      add(`${name}.attn.relative_position_bias_table`, rows, config.heads[stage] as number)
      addBoth(`${name}.attn.qkv`, 3 * width, width)
      addBoth(`${name}.attn.proj`, width, width)
      addBoth(`${name}.norm2`, width)
      addBoth(`${name}.mlp.fc1`, hidden, width)
      addBoth(`${name}.mlp.fc2`, width, hidden)
    }
  }
  const width = embedDim * 2 ** (depths.length - 1)
  addBoth('norm', width)
  addBoth('head.fc', classes, width)
  return list
}

/** The window of a stage: that of the network, or its whole map where that is smaller. */
export function windowOfStage(config: SwinConfig, stage: number): number {
  return Math.min(config.windowSize, config.imageSize / config.patchSize / 2 ** stage)
}

// How many images parts of a network are measured with.
import type { SwinTransformer } from './swin-transformer.js'

/** Tokens after the patch embedding of what is measured at once: 8 images of 224 px. */
const MEASURED_TOKENS = 8 * 56 * 56

/** @param most The batch that it is measured for. */
export function measuredBatch({ config }: SwinTransformer, most = Number.MAX_SAFE_INTEGER): number {
  const tokens = (config.imageSize / config.patchSize) ** 2
  return Math.max(1, Math.min(most, Math.max(8, Math.floor(MEASURED_TOKENS / tokens))))
}

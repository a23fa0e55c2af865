// How many images parts of a network are measured with.
import type { SwinTransformer } from './swin-transformer.js'

/** Tokens after the patch embedding of what is measured at once: 8 images of 224 px. */
const MEASURED_TOKENS = 8 * 56 * 56

/**
 * The same on the CPU where memory alone is asked for, and no product is computed: the largest maps are
 * taken in chunks that grow with the batch from here on.
 */
const WEIGHED_TOKENS = 64 * 56 * 56

/** @param most The batch that it is measured for. */
export function measuredBatch(model: SwinTransformer, most = Number.MAX_SAFE_INTEGER): number {
  return batchOf(model, MEASURED_TOKENS, most)
}

/** What memory is measured with. @param most The batch that it is measured for. */
export function weighedBatch(model: SwinTransformer, most: number): number {
  return batchOf(model, model.device === 'cpu' ? WEIGHED_TOKENS : MEASURED_TOKENS, most)
}

function batchOf({ config }: SwinTransformer, tokensAtOnce: number, most: number): number {
  const tokens = (config.imageSize / config.patchSize) ** 2
  return Math.max(1, Math.min(most, Math.max(8, Math.floor(tokensAtOnce / tokens))))
}

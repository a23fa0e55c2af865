// What a network or a module's head says of a batch; the core computes it (evaluation.h).
import type { NativeEvaluation } from '../native/contract.js'

/**
 * What a head says of a batch: summed cross-entropy without label smoothing, how many answers are
 * right, how many labels are among the five largest logits, and the class that each image is taken
 * for. Of equal logits the lower class counts as the larger; an image with a logit that is no number
 * is taken for -1, no class, and makes the sum NaN.
 */
export type BatchEvaluation = Readonly<NativeEvaluation>

/** `shape` is [count, classes], `data` row by row. */
export interface Logits {
  readonly shape: readonly number[]
  readonly data: Float32Array
}

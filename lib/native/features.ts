// Features on their way from one module to the next: an opaque handle of native memory.

import type { NativeFeatures } from './contract.js'
import { Handle } from './handle.js'

export class Features extends Handle<NativeFeatures> {
  /** `[batch, height, width, channels]`; images are `[batch, 3, height, width]`, logits `[batch, classes]`. */
  readonly shape: readonly number[]
  readonly byteLength: number

  /** @internal */
  constructor(native: NativeFeatures) {
    super('features', native)
    this.shape = this.look((features) => features.shape())
    this.byteLength = this.look((features) => features.byteLength())
  }
}

// A batch that was prepared while another was learned from: an opaque handle of native memory.

import type { NativePrepared } from '../native/contract.js'
import { Handle } from '../native/handle.js'
import type { InputShape } from './batch.js'

/** What a step gets of a {@link PreparedBatch}. */
export interface PreparedContent {
  /** Normalised, erased and mixed, `[count, 3, imageSize, imageSize]`. */
  readonly images: { readonly shape: readonly number[]; readonly data: Float32Array }
  /** Before normalising, resizing, erasing and mixing; not of a batch that was given as floats. */
  readonly pixels?: { readonly shape: readonly number[]; readonly data: Uint8Array }
  /** Of two mixed images the class of that with the larger share. */
  readonly labels: Int32Array
  /** Class of the other one; with mixing alone. */
  readonly otherLabels?: Int32Array
  /** Share of `labels`, at least one half where the images were mixed here. */
  readonly labelShares?: Float32Array
}

/** Made by {@link Trainer.prepare}; dispose it once its step has begun. */
export class PreparedBatch extends Handle<NativePrepared> {
  /** Images. */
  readonly count: number
  /** Of its images: one byte a value, in the host's memory (a float batch: four). */
  readonly byteLength: number
  /** @internal What network it was made for. */
  readonly input: InputShape

  /** @internal */
  constructor(native: NativePrepared, count: number, input: InputShape) {
    super('prepared batch', native)
    this.count = count
    this.input = input
    this.byteLength = this.look((batch) => batch.byteLength())
  }

  /** A copy of what a step gets, to look at. */
  async read(): Promise<PreparedContent> {
    return this.exclusive((batch) => batch.read())
  }
}

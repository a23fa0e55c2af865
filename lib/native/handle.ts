// What every long-lived handle shares: one operation at a time, and a dispose that frees native
// memory at once rather than when a garbage collector finds the time.
import { LocalformerError } from '../base/errors.js'
import { awaitNative, callNative } from './load.js'

/**
 * A handle of something that lives in native memory.
 *
 * `dispose()` may be called at any time and more than once: an operation at work keeps what it needs
 * until it ends. `using` and `await using` call it.
 */
export abstract class Handle<Native extends { dispose(): void }> {
  readonly #what: string
  #native: Native | undefined
  #busy = false

  protected constructor(what: string, native: Native) {
    this.#what = what
    this.#native = native
  }

  /** @internal See {@link isHandle}. */
  static holds(value: object): boolean {
    return #native in value
  }

  /** Has `dispose()` been called? */
  get disposed(): boolean {
    return this.#native === undefined
  }

  /** Frees the native memory behind this handle; using it afterwards throws `ERR_DISPOSED`. */
  dispose(): void {
    this.#native?.dispose()
    this.#native = undefined
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose()
  }

  /** @internal The native object. */
  get native(): Native {
    if (this.#native) return this.#native
    throw new LocalformerError('ERR_DISPOSED', `The ${this.#what} was disposed`, {
      hint: 'Create a new one.',
    })
  }

  /** A cheap synchronous look at the native object. */
  protected look<T>(get: (native: Native) => T): T {
    return callNative(() => get(this.native))
  }

  /** One asynchronous operation; a second one before it ends throws `ERR_BUSY`. */
  protected async exclusive<T>(work: (native: Native) => Promise<T>): Promise<T> {
    const native = this.native
    if (this.#busy) {
      throw new LocalformerError('ERR_BUSY', `The ${this.#what} is still at work`, {
        hint: 'Await the promise of the call before.',
      })
    }
    this.#busy = true
    try {
      return await awaitNative(() => work(native))
    } finally {
      this.#busy = false
    }
  }
}

/**
 * Is it a handle of this class? A proxy of one is not: it cannot reach what is in native memory, and
 * its traps may throw.
 */
export function isHandle<T>(value: unknown, type: { readonly prototype: T }): value is T {
  if (typeof value !== 'object' || value === null || !Handle.holds(value)) return false
  return value instanceof (type as unknown as abstract new () => object)
}

// Whether tensors are the same, without sending them.
import { createHash } from 'node:crypto'
import type { Tensors } from './swin-transformer.js'

/** SHA-256 of names and values, in their order, and of further bytes. */
export function digestOf(all: readonly Tensors[], bytes?: Uint8Array): string {
  const hash = createHash('sha256')
  for (const tensors of all) {
    for (const [name, { data }] of Object.entries(tensors)) {
      hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    }
  }
  if (bytes !== undefined) hash.update(bytes)
  return hash.digest('hex')
}

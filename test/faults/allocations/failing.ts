// Makes the n-th allocation of a call fail, for one n after the other.
import { LocalformerError } from '../../../lib/base/errors.js'
import * as memory from '../../../lib/device/memory.js'
import type { Tensors } from '../../../lib/local/swin-transformer.js'
import { loadTorch } from '../../../lib/native/load.js'

/** How a call with a failing allocation ended; undefined: it made fewer allocations than that. */
export type Outcome =
  | { readonly error: LocalformerError }
  | { readonly violation: string }
  | undefined

/** Runs `call`, whose `n`-th allocation fails. */
export async function withFailure(n: number, call: () => Promise<unknown>): Promise<Outcome> {
  const torch = loadTorch()
  const before = memory.stats().numOoms
  let error: unknown
  torch.failCpuAllocation(n)
  try {
    await call()
  } catch (thrown) {
    error = thrown
  } finally {
    torch.failCpuAllocation(0)
  }
  const failed = memory.stats().numOoms - before
  if (failed === 0 && error === undefined) return undefined
  if (failed !== 1) return { violation: `${failed} allocations failed, and it threw ${error}` }
  if (error === undefined) return { violation: 'an allocation failed, and nothing was told' }
  if (!(error instanceof LocalformerError) || error.code !== 'ERR_OUT_OF_MEMORY') {
    return { violation: `not ERR_OUT_OF_MEMORY: ${error}` }
  }
  return { error }
}

/** Names of tensors that differ in any bit, or that only one side has; undefined: none does. */
export function differences(wanted: Tensors, got: Tensors): string | undefined {
  const names = [...new Set([...Object.keys(wanted), ...Object.keys(got)])].filter((name) => {
    const [a, b] = [wanted[name], got[name]]
    return a === undefined || b === undefined || !bytesOf(a.data).equals(bytesOf(b.data))
  })
  if (names.length === 0) return undefined
  const more = names.length > 3 ? ` and ${names.length - 3} more` : ''
  return `${names.slice(0, 3).join(', ')}${more} differ`
}

function bytesOf(data: Float32Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

/** Which allocations of a call fail: 1, 1 + stride, 1 + 2 stride, ... shifted by `offset`. */
export interface Which {
  readonly stride: number
  readonly offset: number
}

export const EVERY: Which = { stride: 1, offset: 0 }

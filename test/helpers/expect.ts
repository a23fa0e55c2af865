// What tests of the addon say about numbers, tensors and errors.
import * as assert from 'uvu/assert'
import { type ErrorCode, LocalformerError } from '../../lib/base/errors.js'
import type { Tensors } from '../../lib/local/swin-transformer.js'

/** `got` is at most `limit`; NaN is not. */
export function atMost(got: number, limit: number, what: string): void {
  assert.ok(got <= limit, `${what}: ${got} is above ${limit}`)
}

/** The error of `work`, a LocalformerError with this code, whose message and hint hold each part. */
export async function rejects(
  work: () => unknown,
  code: ErrorCode,
  ...parts: readonly (string | RegExp)[]
): Promise<LocalformerError & Readonly<Record<string, unknown>>> {
  let error: unknown
  try {
    await work()
  } catch (thrown) {
    error = thrown
  }
  if (error === undefined) assert.unreachable(`expected ${code}, and nothing was thrown`)
  assert.instance(error, LocalformerError, `expected ${code}, not ${String(error)}`)
  const found = error as LocalformerError & Readonly<Record<string, unknown>>
  assert.is(found.code, code, found.message)
  for (const part of parts) assert.match(`${found.message}\n${found.hint ?? ''}`, part)
  return found
}

/** Names of the tensors that differ in any bit. */
export function changed(before: Tensors, after: Tensors): string[] {
  assert.equal(Object.keys(after), Object.keys(before))
  return Object.keys(before).filter((name) => {
    const [a, b] = [bytes(before, name), bytes(after, name)]
    return !a.equals(b)
  })
}

/** Bit for bit the same. */
export function same(before: Tensors, after: Tensors, what: string): void {
  assert.equal(changed(before, after), [], what)
}

function bytes(tensors: Tensors, name: string): Buffer {
  const { data } = tensors[name] as { data: Float32Array }
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

/** `got` is a number above 0 and at most `share` of `of`: nothing is lowered where all is 0. */
export function isShareOf(got: number, share: number, of: number, what: string): void {
  assert.ok(Number.isFinite(of) && got > 0, `${what}: ${got} beside ${of}`)
  atMost(got, share * of, what)
}

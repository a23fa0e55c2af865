// The content of a split as one short text, to tell whether a run goes on with the images it began
// with.
import { createHash } from 'node:crypto'
import type { ImageSplit } from './dataset.js'

/** Between two pieces other work has its turn: a large split takes seconds. */
const PIECE_BYTES = 64 * 2 ** 20

/** SHA-256 in hexadecimal digits of a split's images and labels. */
export async function fingerprint({ images, labels }: ImageSplit): Promise<string> {
  const hash = createHash('sha256')
  for (const { buffer, byteOffset, byteLength } of [images, labels]) {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength)
    for (let at = 0; at < byteLength; at += PIECE_BYTES) {
      hash.update(bytes.subarray(at, at + PIECE_BYTES))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return hash.digest('hex')
}

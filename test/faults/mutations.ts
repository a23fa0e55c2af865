// A file with something in it changed, as damage or an enemy would.
import { gunzipSync, gzipSync } from 'node:zlib'
import { crc32 } from '../helpers/png.js'
import type { Chance } from './chance.js'

/** Numbers at which readers go wrong, as they stand in files. */
const EDGES = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
]

/** @param other A file of the same kind, to take a piece of. */
export function mutate(bytes: Buffer, other: Buffer, chance: Chance): Buffer {
  let changed: Buffer = Buffer.from(bytes)
  const times = 1 + chance.below(4)
  for (let time = 0; time < times; time++) changed = once(changed, other, chance)
  return changed
}

function once(bytes: Buffer, other: Buffer, chance: Chance): Buffer {
  if (bytes.length === 0) return Buffer.from(other)
  const at = chance.below(bytes.length)
  const length = 1 + chance.below(Math.min(64, bytes.length - at))
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at + length)]
  switch (chance.below(9)) {
    case 0: {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] as number) ^ (1 << chance.below(8))
      return flipped
    }
    case 1:
      return Buffer.from(bytes.subarray(0, at))
    case 2:
      return Buffer.concat([before, after])
    case 3:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)])
    case 4:
      return Buffer.concat([before, Buffer.alloc(length, chance.below(256)), after])
    case 5: {
      const from = chance.below(Math.max(1, other.length))
      return Buffer.concat([before, other.subarray(from, from + length), after])
    }
    case 6:
      return Buffer.concat([bytes, Buffer.alloc(1 + chance.below(4096), chance.below(256))])
    case 7:
      return withDigits(bytes, chance)
    default:
      return withEdge(bytes, at, chance)
  }
}

function withEdge(bytes: Buffer, at: number, chance: Chance): Buffer {
  const changed = Buffer.from(bytes)
  const width = chance.pick([1, 2, 4].filter((each) => at + each <= bytes.length))
  const value = chance.pick(EDGES) % 2 ** (8 * width)
  if (chance.below(2) === 0) changed.writeUIntLE(value, at, width)
  else changed.writeUIntBE(value, at, width)
  return changed
}

/** A number that stands there as text, another one. */
function withDigits(bytes: Buffer, chance: Chance): Buffer {
  const text = bytes.toString('latin1')
  const numbers = [...text.matchAll(/\d+/g)]
  if (numbers.length === 0) return bytes
  const { index, 0: old } = chance.pick(numbers)
  const value = chance.pick(['0', '-1', '1e9', '9007199254740993', '1.5', '""', 'null', '[]', '00'])
  return Buffer.from(text.slice(0, index) + value + text.slice(index + old.length), 'latin1')
}

/**
 * The same by somebody who knows the format: changed beneath what would give it away at once, and with
 * sums and lengths that fit again.
 */
export const KNOWING: Readonly<Record<string, typeof mutate>> = {
  png(bytes, other, chance) {
    const changed = mutate(bytes, other, chance)
    for (let at = 8; at + 12 <= changed.length; ) {
      const end = at + 12 + changed.readUInt32BE(at)
      if (end > changed.length) break
      changed.writeUInt32BE(crc32(changed.subarray(at + 4, end - 4)), end - 4)
      at = end
    }
    return changed
  },
  safetensors(bytes, other, chance) {
    const header = bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0) % 2n ** 32n))
    const changed = mutate(header, other, chance)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(changed.length))
    return Buffer.concat([length, changed, bytes.subarray(8 + header.length)])
  },
  tar(bytes, _other, chance) {
    const plain = gunzipped(bytes)
    const changed = mutate(plain, plain, chance)
    for (let at = 0; at + 512 <= changed.length; at += 512) {
      if (changed.toString('latin1', at + 257, at + 262) !== 'ustar') continue
      changed.write('        ', at + 148, 'latin1')
      const sum = changed.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
      changed.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
    }
    return gzipSync(changed)
  },
}

function gunzipped(bytes: Buffer): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: 2 ** 24 })
  } catch {
    return bytes
  }
}

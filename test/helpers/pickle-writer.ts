// Plain values -> a pickle of protocol 4, as Python writes them; what stands twice is written twice.
import type { Plain } from '../../lib/base/pickle.js'

export function pickleOf(value: Plain): Buffer {
  return Buffer.concat([Buffer.from([0x80, 4]), partOf(value), Buffer.from('.')])
}

function partOf(value: Plain): Buffer {
  if (value === null) return Buffer.from('N')
  if (typeof value === 'boolean') return Buffer.from([value ? 0x88 : 0x89])
  if (typeof value === 'number') return numberOf(value)
  if (typeof value === 'string') return sized('X', Buffer.from(value))
  if (Array.isArray(value)) return Buffer.concat([ascii('](', value.map(partOf)), ascii('e')])
  const entries = Object.entries(value).flatMap(([key, entry]) => [partOf(key), partOf(entry)])
  return Buffer.concat([ascii('}(', entries), ascii('u')])
}

function ascii(text: string, parts: readonly Buffer[] = []): Buffer {
  return Buffer.concat([Buffer.from(text), ...parts])
}

function numberOf(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  if (Number.isInteger(value)) {
    bytes.writeBigInt64LE(BigInt(value))
    return Buffer.concat([Buffer.from([0x8a, 8]), bytes])
  }
  bytes.writeDoubleBE(value)
  return Buffer.concat([Buffer.from('G'), bytes])
}

function sized(op: string, content: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(content.length)
  return Buffer.concat([Buffer.from(op), length, content])
}

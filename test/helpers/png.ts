// PNG files by hand, right ones and wrong ones.
import { deflateSync } from 'node:zlib'

export interface PngParts {
  readonly width: number
  readonly height: number
  readonly depth?: number
  /** 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha. */
  readonly colorType?: number
  readonly interlace?: boolean
  /** Filtered rows before they are deflated; default: zeros, as many as the size takes. */
  readonly rows?: Buffer
  /** Further chunks before the image. */
  readonly before?: readonly Buffer[]
}

/** First column and row of a pass, and the steps between them. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const

export function pngFile(parts: PngParts): Buffer {
  const { width, height, depth = 8, colorType = 2, interlace = false, before = [] } = parts
  const samples = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colorType] ?? 1
  const rowBytes = (columns: number) => 1 + Math.ceil((columns * samples * depth) / 8)
  const passes = interlace ? ADAM7 : ([[0, 0, 1, 1]] as const)
  const bytes = passes.reduce((sum, [left, top, across, down]) => {
    const [columns, rows] = [Math.ceil((width - left) / across), Math.ceil((height - top) / down)]
    return columns > 0 && rows > 0 ? sum + rows * rowBytes(columns) : sum
  }, 0)
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([depth, colorType, 0, 0, interlace ? 1 : 0], 8)
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    pngChunk('IHDR', header),
    ...before,
    pngChunk('IDAT', deflateSync(parts.rows ?? Buffer.alloc(bytes), { level: 9 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

export function pngChunk(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + data.length)
  chunk.writeUInt32BE(data.length, 0)
  chunk.write(type, 4, 'latin1')
  data.copy(chunk, 8)
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length)
  return chunk
}

// zlib.crc32 came with Node.js 20.15, and tests run on 20.9 too.
export function crc32(data: Uint8Array): number {
  let crc = ~0
  for (const byte of data) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

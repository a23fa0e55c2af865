// A PNG file before it is decoded: is it whole, and does it hold what its header says? A file of a few
// bytes can inflate to gigabytes, which pngjs does not bound where the image is interlaced; where it is
// not, rows may lack. Chunks and passes: PNG specification (W3C, third edition), sections 5 and 8.
import { inflateSync } from 'node:zlib'

export const PNG_SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex')

/** What is wrong with a file, said without its name and without a decoder's words. */
export class PngError extends Error {}

const HEADER_BYTES = 13
/** Of each chunk: length and type before its data, sum behind it. */
const CHUNK_BYTES = 12
/** Samples of a pixel by colour type: grey, RGB, palette, grey and alpha, RGB and alpha. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }
const DEPTHS = [1, 2, 4, 8, 16]
/** First column and row, and the steps between them, of Adam7's passes. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const

interface PngHeader {
  readonly width: number
  readonly height: number
  readonly bitsPerPixel: number
  readonly isInterlaced: boolean
}

/** @throws {PngError} for what does not begin as a PNG file, or says what none may. */
export function readPngHeader(bytes: Buffer): PngHeader {
  if (!bytes.subarray(0, 8).equals(PNG_SIGNATURE)) throw new PngError('it is no PNG')
  if (bytes.length < 8 + CHUNK_BYTES + HEADER_BYTES) throw new PngError('it is truncated')
  if (bytes.readUInt32BE(8) !== HEADER_BYTES || typeAt(bytes, 8) !== 'IHDR') {
    throw new PngError('it does not begin with a PNG header')
  }
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
  const [depth, color, compression, filter, interlace] = bytes.subarray(24, 29) as Uint8Array
  const samples = SAMPLES[color as number]
  const isKnown =
    samples !== undefined && DEPTHS.includes(depth as number) && compression === 0 && filter === 0
  if (!isKnown || (interlace as number) > 1) throw new PngError('its header is damaged')
  const bitsPerPixel = samples * (depth as number)
  return { width, height, bitsPerPixel, isInterlaced: interlace === 1 }
}

/**
 * The bytes of the image without what lies behind its end, fit for a decoder.
 *
 * @throws {PngError} for a file that is cut off, or whose data inflates to more than its header says.
 */
export function checkPng(bytes: Buffer): Buffer {
  const header = readPngHeader(bytes)
  const data: Buffer[] = []
  let place = 8
  for (;;) {
    if (place + CHUNK_BYTES > bytes.length) throw new PngError('it is truncated')
    const type = typeAt(bytes, place)
    const end = place + CHUNK_BYTES + bytes.readUInt32BE(place)
    if (end > bytes.length) throw new PngError(`it is truncated, within ${type}`)
    if (type === 'IDAT') data.push(bytes.subarray(place + 8, end - 4))
    place = end
    if (type === 'IEND') break
  }
  if (data.length === 0) throw new PngError('it holds no image')
  checkInflated(Buffer.concat(data), header)
  return bytes.subarray(0, place)
}

function checkInflated(data: Buffer, header: PngHeader): void {
  const wanted = inflatedBytes(header)
  let bytes: number
  try {
    bytes = inflateSync(data, { maxOutputLength: wanted }).length
  } catch (cause) {
    const isLarger = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    const problem = isLarger ? `more than the ${wanted} bytes of its size` : 'damaged'
    throw new PngError(`its data is ${problem}`, { cause })
  }
  if (bytes < wanted) throw new PngError(`its data is ${bytes} of ${wanted} bytes`)
}

/** Bytes of all rows, with the filter's byte before each. */
function inflatedBytes({ width, height, bitsPerPixel, isInterlaced }: PngHeader): number {
  const passes = isInterlaced ? PASSES : ([[0, 0, 1, 1]] as const)
  return passes.reduce((sum, [left, top, across, down]) => {
    const columns = Math.ceil((width - left) / across)
    const rows = Math.ceil((height - top) / down)
    if (columns <= 0 || rows <= 0) return sum
    return sum + rows * (1 + Math.ceil((columns * bitsPerPixel) / 8))
  }, 0)
}

function typeAt(bytes: Buffer, place: number): string {
  // Shown in messages: of a damaged file it may be anything.
  return bytes.toString('latin1', place + 4, place + 8).replace(/[^A-Za-z]/g, '?')
}

// Image files: PNG of every kind is read, what is damaged is said in our words, and what inflates to
// more than it says costs an error and no memory.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { deflateSync } from 'node:zlib'
import { PNG } from 'pngjs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readImage } from '../../../lib/datasets/read-image.js'
import { rejects } from '../../helpers/expect.js'
import { pngChunk, pngFile } from '../../helpers/png.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-read-image-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, bytes: Uint8Array): string {
  const file = path.join(folder, name)
  writeFileSync(file, bytes)
  return file
}

/** Refused, without a decoder's words. */
async function refused(name: string, bytes: Uint8Array, reason: string | RegExp): Promise<void> {
  const file = write(name, bytes)
  const error = await rejects(() => readImage(file), 'ERR_DATASET', reason)
  assert.not.match(error.message, /zlib|crc|inflate|unexpected end|IHDR|invalid/i)
}

test('a file of little that holds gigabytes is refused before they are there', async () => {
  const rows = Buffer.alloc(256 * 2 ** 20)
  const before = process.memoryUsage().rss
  for (const interlace of [true, false]) {
    const file = write('bomb.png', pngFile({ width: 1, height: 1, interlace, rows }))
    await rejects(() => readImage(file), 'ERR_DATASET', 'more than the 4 bytes of its size')
  }
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  assert.ok(grown < 128, `${grown.toFixed(0)} MiB`)
})

test('sizes beyond what is decoded are refused by the header', async () => {
  const data = deflateSync(Buffer.alloc(10))
  const header = (width: number, height: number) => {
    const whole = pngFile({ width: 1, height: 1 })
    whole.writeUInt32BE(width, 16)
    whole.writeUInt32BE(height, 20)
    return Buffer.concat([whole.subarray(0, 33), pngChunk('IDAT', data), whole.subarray(-12)])
  }
  await refused('wide.png', header(2 ** 31 - 1, 2 ** 31 - 1), 'at most 50000000 are decoded')
  await refused('none.png', header(0, 5), 'it has 0 x 5 pixels')
})

test('a file that is cut off is refused at every length', async () => {
  const whole = pngFile({ width: 5, height: 3 })
  for (let length = 0; length < whole.length; length++) {
    const file = write('cut.png', whole.subarray(0, length))
    await rejects(() => readImage(file), 'ERR_DATASET', 'Cannot read the image')
    if (length >= 8) await refused('cut.png', whole.subarray(0, length), /truncated|PNG header/)
  }
  const rows = Buffer.alloc(3)
  const size = { width: 9, height: 9 }
  await refused('short.png', pngFile({ ...size, interlace: true, rows }), 'its data is 3 of')
  await refused('short.png', pngFile({ ...size, rows }), 'its data is 3 of 252 bytes')
})

test('damage anywhere is an error in our words, or read', async () => {
  const whole = pngFile({ width: 6, height: 4, colorType: 6 })
  for (let at = 8; at < whole.length; at++) {
    const bytes = Buffer.from(whole)
    bytes[at] = (bytes[at] as number) ^ 0x11
    const file = write('damaged.png', bytes)
    const error = await readImage(file).then(
      () => undefined,
      (reason) => reason,
    )
    if (error === undefined) continue
    assert.is(error.code, 'ERR_DATASET', `byte ${at}: ${error}`)
    assert.match(error.message, /damaged|truncated|PNG|pixels|holds no image/, `byte ${at}`)
  }
})

const KINDS = [
  [0, [1, 2, 4, 8, 16]],
  [2, [8, 16]],
  [4, [8, 16]],
  [6, [8, 16]],
] as const
const SIZES = [
  [1, 1],
  [2, 3],
  [5, 5],
  [7, 5],
  [16, 9],
] as const

test('every kind of PNG is read as before, interlaced and with bytes behind its end too', async () => {
  for (const interlace of [false, true]) {
    for (const [colorType, depths] of KINDS) {
      for (const depth of depths) {
        for (const [width, height] of SIZES) {
          const bytes = pngFile({ width, height, depth, colorType, interlace })
          const image = await readImage(write('kind.png', bytes))
          assert.equal([image.width, image.height], [width, height])
        }
      }
    }
  }
  const png = new PNG({ width: 3, height: 2 })
  png.data.set(Uint8Array.from({ length: 24 }, (_, k) => (k % 4 === 3 ? 255 : 10 * k)))
  const bytes = Buffer.concat([PNG.sync.write(png), Buffer.from('behind')])
  const { images } = await readImage(write('behind.png', bytes))
  assert.equal([...images.subarray(0, 6)], [0, 40, 80, 120, 160, 200])
})

test.run()

import { spawnSync } from 'node:child_process'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FetchEvent } from '../../../lib/datasets/fetch.js'
import { readImageFolder } from '../../../lib/datasets/image-folder.js'
import { openDataset } from '../../../lib/datasets/open.js'
import { makeTempFolder } from '../../helpers/cifar10-fixture.js'
import { rejects } from '../../helpers/expect.js'

// As the reader loads it.
const sharp = createRequire(import.meta.url)('sharp') as typeof import('sharp')['default']
const test = suite<{ root: string }>('image-folder')

type Color = readonly [number, number, number]
const RED: Color = [200, 30, 20]
const GREEN: Color = [10, 180, 40]
const BLUE: Color = [20, 40, 220]

test.before.each(async (context) => {
  context.root = await makeTempFolder()
})

test.after.each(({ root }) => rm(root, { recursive: true, force: true }))

/** `width x height` pixels, of which `colorOf` says the colour; lossless where the format is. */
function picture(width: number, height: number, colorOf: (x: number, y: number) => Color) {
  const pixels = Array.from({ length: width * height }, (_, place) =>
    colorOf(place % width, Math.floor(place / width)),
  ).flat()
  return sharp(Uint8Array.from(pixels), { raw: { width, height, channels: 3 } })
}

const plain = (color: Color, side = 8) => picture(side, side, () => color)

/** Writes `train/a/photo.png` and so on: path below the root -> bytes. */
async function put(root: string, files: Readonly<Record<string, Uint8Array | string>>) {
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true })
    await writeFile(path.join(root, name), bytes)
  }
}

/** The colour at a place of the first train image. */
async function pixelsOf(root: string, imageSize = 8) {
  const { train } = await readImageFolder(root, { imageSize })
  const plane = imageSize * imageSize
  return (x: number, y: number): number[] =>
    [0, 1, 2].map((channel) => train.images[channel * plane + y * imageSize + x] as number)
}

/** One photo to look at, and one for the test split. */
async function putOne(root: string, name: string, bytes: Uint8Array | string) {
  const other = await plain(BLUE).png().toBuffer()
  await put(root, { [`train/a/${name}`]: bytes, 'test/a/other.png': other })
}

function near(got: readonly number[], wanted: Color, tolerance = 6): void {
  const distance = Math.max(...wanted.map((value, at) => Math.abs(value - (got[at] as number))))
  assert.ok(distance <= tolerance, `${got} is not ${wanted}`)
}

test('folders are classes, in the order of their names; pixels come as they are', async ({
  root,
}) => {
  const noise = picture(8, 8, (x, y) => [x * 30, y * 30, (x * y * 7) % 256])
  await put(root, {
    'train/b/1.png': await plain(RED).png().toBuffer(),
    'train/B/1.png': await plain(GREEN).png().toBuffer(),
    'train/a/2.png': await plain(BLUE).png().toBuffer(),
    'train/a/10.png': await noise.png().toBuffer(),
    'train/a/readme.txt': 'no photo',
    'train/a/.hidden.png': 'no photo',
    'train/notes.txt': 'no class',
    'test/b/x.PNG': await plain(RED).png().toBuffer(),
  })
  const data = await readImageFolder(root, { imageSize: 8 })
  assert.equal(data.classes, ['B', 'a', 'b'])
  assert.equal([...data.train.labels], [0, 1, 2, 1])
  assert.equal([...data.test.labels], [2])
  // Image 1 is a/10.png: red grows to the right, green downwards.
  const planes = data.train.images.subarray(192, 384)
  assert.equal([...planes.subarray(8, 16)], [0, 30, 60, 90, 120, 150, 180, 210])
  assert.equal([...planes.subarray(64 + 8, 64 + 16)], new Array(8).fill(30))
  assert.equal([...planes.subarray(128 + 24, 128 + 32)], [0, 21, 42, 63, 84, 105, 126, 147])
  assert.equal([...data.train.images.subarray(0, 2)], [GREEN[0], GREEN[0]])
})

test('val serves where there is no test; photos may lie deeper or be links', async ({ root }) => {
  const photo = await plain(RED).png().toBuffer()
  await put(root, { 'train/a/deep/1.png': photo, 'val/a/1.png': photo })
  await symlink('deep/1.png', path.join(root, 'train/a/2.png'))
  const data = await openDataset('image-folder', { dataDir: root, imageFolder: { imageSize: 4 } })
  assert.is(data.train.count, 2)
  assert.is(data.test.count, 1)
  assert.is(data.train.height, 4)
})

test('the shorter side is resized and the middle is kept', async ({ root }) => {
  // Three squares side by side.
  const wide = picture(48, 16, (x) => (x < 16 ? RED : x < 32 ? GREEN : BLUE))
  await putOne(root, 'wide.png', await wide.png().toBuffer())
  const pixel = await pixelsOf(root)
  for (const at of [1, 3, 6]) near(pixel(at, at), GREEN)
})

test('a photo is turned as its camera says', async ({ root }) => {
  // Stored lying on its left side: EXIF 6 means to turn it by 90 degrees to the right.
  const stored = picture(16, 16, (_, y) => (y < 8 ? RED : BLUE))
  const photo = stored.jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
  await putOne(root, 'turned.jpg', await photo.withMetadata({ orientation: 6 }).toBuffer())
  const pixel = await pixelsOf(root)
  near(pixel(6, 4), RED)
  near(pixel(1, 4), BLUE)
})

test('grey, 16-bit, CMYK and transparent pictures become RGB bytes', async ({ root }) => {
  const check = async (name: string, bytes: Uint8Array, color: Color, tolerance?: number) => {
    await rm(path.join(root, 'train'), { recursive: true, force: true })
    await putOne(root, name, bytes)
    near((await pixelsOf(root))(4, 4), color, tolerance)
  }
  const grey = plain([120, 120, 120]).toColourspace('b-w')
  await check('grey.png', await grey.png().toBuffer(), [120, 120, 120], 1)
  const deep = plain(RED).toColourspace('rgb16').png()
  await check('deep.png', await deep.toBuffer(), RED, 1)
  // A colour that inks can print.
  const dull: Color = [120, 110, 100]
  await check('cmyk.jpg', await plain(dull).toColourspace('cmyk').jpeg().toBuffer(), dull, 12)
  const clear = plain(RED).joinChannel(Buffer.alloc(64, 0), {
    raw: { width: 8, height: 8, channels: 1 },
  })
  await check('clear.png', await clear.png().toBuffer(), [0, 0, 0], 0)
  await check('some.webp', await plain(BLUE).webp({ lossless: true }).toBuffer(), BLUE, 1)
  await check('some.gif', await plain(BLUE).gif().toBuffer(), BLUE)
  await check('some.tiff', await plain(BLUE).tiff().toBuffer(), BLUE)
  await check('some.avif', await plain(BLUE, 64).avif({ quality: 90 }).toBuffer(), BLUE, 12)
})

test('a file that cannot be decoded is named', async ({ root }) => {
  const refuse = async (name: string, bytes: Uint8Array | string) => {
    await putOne(root, name, bytes)
    const error = await rejects(() => readImageFolder(root, { imageSize: 8 }), 'ERR_DATASET')
    assert.ok(error.message.startsWith(`Cannot decode ${path.join(root, 'train/a', name)}: `))
    await rm(path.join(root, 'train/a', name), { recursive: true })
  }
  await refuse('text.jpg', 'no photo at all')
  await refuse('empty.png', '')
  const noise = picture(64, 64, (x, y) => [(x * y) % 256, (x * 31) % 256, (y * 17) % 256])
  const photo = await noise.jpeg({ quality: 100 }).toBuffer()
  await refuse('cut.jpg', photo.subarray(0, photo.length / 2))
  await mkdir(path.join(root, 'train/a/folder.png'), { recursive: true })
  await rejects(() => readImageFolder(root), 'ERR_DATASET', /Cannot decode .*folder\.png/)
})

test('one bad file among many ends the reading with its name', async ({ root }) => {
  const photo = await plain(RED).png().toBuffer()
  const names = Array.from({ length: 40 }, (_, number) => `train/a/${100 + number}.png`)
  await put(root, Object.fromEntries(names.map((name) => [name, photo])))
  await put(root, { 'train/a/105.png': 'spoilt', 'test/a/1.png': photo })
  await rejects(() => readImageFolder(root), 'ERR_DATASET', /Cannot decode .*105\.png/)
})

test('a layout that is not complete is told with what is missing', async ({ root }) => {
  const photo = await plain(RED).png().toBuffer()
  const refuse = (pattern: RegExp) =>
    rejects(() => readImageFolder(root), 'ERR_DATASET', pattern, /ROOT\/train\/CLASS\/photo\.jpg/)
  await refuse(/There is no folder .*train/)
  await mkdir(path.join(root, 'train'))
  await refuse(/train has no class folders/)
  await put(root, { 'train/a/1.png': photo })
  await refuse(/has neither a folder test nor a folder val/)
  await put(root, { 'test/c/1.png': photo, 'test/a/1.png': photo })
  await refuse(/test has classes that train has not: c/)
  await rm(path.join(root, 'test/c'), { recursive: true })
  await mkdir(path.join(root, 'train/b'))
  await refuse(/class folder .*train\/b has no photos \(expected \.avif, \.gif, \.jpeg/)
  await put(root, { 'train/b/1.bmp': photo })
  await refuse(/class folder .*train\/b has no photos, only \.bmp/)
  await rejects(() => openDataset('image-folder'), 'ERR_CONFIG', /`dataDir` but received nothing/)
  for (const imageSize of [0, 1.5, 5_000]) {
    await rejects(() => readImageFolder(root, { imageSize }), 'ERR_CONFIG', /`imageSize`/)
  }
})

test('progress counts every photo, and an abort ends it with its reason', async ({ root }) => {
  const photo = await plain(RED).png().toBuffer()
  const names = Array.from({ length: 12 }, (_, number) => `train/a/${number}.png`)
  await put(root, Object.fromEntries(names.map((name) => [name, photo])))
  await put(root, { 'test/a/1.png': photo })
  const told: number[] = []
  const onProgress = (event: FetchEvent) => {
    if (event.type === 'progress') told.push(event.done)
  }
  await readImageFolder(root, { imageSize: 8, onProgress })
  assert.equal(
    told,
    Array.from({ length: 14 }, (_, done) => done),
  )
  const controller = new AbortController()
  const reason = new Error('enough')
  const error = await readImageFolder(root, {
    signal: controller.signal,
    onProgress: () => controller.abort(reason),
  }).catch((caught: unknown) => caught)
  assert.is(error, reason)
})

test('without sharp an image that is no PNG is named', () => {
  const reader = new URL('../../../lib/datasets/read-image.js', import.meta.url).href
  const script = `
    import Module from 'node:module'
    const load = Module._load
    Module._load = (name, ...rest) => {
      if (name !== 'sharp') return load(name, ...rest)
      throw Object.assign(new Error('of sharp'), { code: 'MODULE_NOT_FOUND' })
    }
    const { readImage } = await import(${JSON.stringify(reader)})
    const error = await readImage(${JSON.stringify(fileURLToPath(import.meta.url))}).catch((e) => e)
    process.stdout.write(error.message + error.hint)`
  const args = ['--input-type=module', '--eval', script]
  const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  assert.match(
    stdout,
    'image-folder.test.js: it is no PNG. Photos are decoded by the package sharp',
  )
  assert.match(stdout, 'npm install sharp')
})

test('without sharp the error says what to install', async ({ root }) => {
  await putOne(root, '1.png', await plain(RED).png().toBuffer())
  const reader = new URL('../../../lib/datasets/image-folder.js', import.meta.url).href
  const script = (code: string) => `
    import Module from 'node:module'
    const load = Module._load
    Module._load = (name, ...rest) => {
      if (name !== 'sharp') return load(name, ...rest)
      throw Object.assign(new Error('of sharp'), { code: '${code}' })
    }
    const { readImageFolder } = await import(${JSON.stringify(reader)})
    const error = await readImageFolder(${JSON.stringify(root)}).catch((caught) => caught)
    process.stdout.write(JSON.stringify([error.code, error.message, error.hint]))`
  const run = (code: string) => {
    const args = ['--input-type=module', '--eval', script(code)]
    return JSON.parse(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout)
  }
  assert.equal(run('MODULE_NOT_FOUND'), [
    'ERR_DATASET',
    'Photos are decoded by the package sharp, which is not installed',
    'Run `npm install sharp`.',
  ])
  assert.match(
    run('ERR_DLOPEN_FAILED')[1],
    /sharp, which decodes photos, cannot be loaded: of sharp/,
  )
})

test.run()

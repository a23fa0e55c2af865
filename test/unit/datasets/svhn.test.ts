import { rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openDataset } from '../../../lib/datasets/open.js'
import { readSvhn, SVHN_FOLDER } from '../../../lib/datasets/svhn.js'
import { makeTempFolder } from '../../helpers/cifar10-fixture.js'
import { rejects } from '../../helpers/expect.js'
import { type MatArray, MatWriter } from '../../helpers/mat-writer.js'
import { assertGolden, copySvhn, golden } from '../../helpers/official-files.js'

const test = suite<{ parent: string; folder: string }>('svhn')
const writer = new MatWriter()

test.before.each(async (context) => {
  context.parent = await makeTempFolder()
  context.folder = path.join(context.parent, SVHN_FOLDER)
  await copySvhn(context.folder)
})

test.after.each(({ parent }) => rm(parent, { recursive: true, force: true }))

/** Test images X and labels y; a test changes one thing. */
function matFile(
  count: number,
  { x = {}, y = {} }: { x?: Partial<MatArray>; y?: Partial<MatArray> } = {},
): Uint8Array {
  const images = Uint8Array.from({ length: count * 3_072 }, (_, place) => place % 251)
  const labels = Uint8Array.from({ length: count }, (_, place) => (place % 10) + 1)
  const uint8 = { matClass: 9, storage: 2 }
  return writer.file(
    writer.array({ name: 'X', dimensions: [32, 32, 3, count], ...uint8, data: images, ...x }),
    writer.array({ name: 'y', dimensions: [count, 1], ...uint8, data: labels, ...y }),
  )
}

test('images hold what scipy finds in the files', async ({ folder }) => {
  const data = await readSvhn(folder)
  assert.is(data.name, 'svhn')
  assertGolden(data, golden.tiny.svhn)
})

test('extra images come behind those of train where they are asked for', async ({ folder }) => {
  const data = await openDataset('svhn-extra', { dataDir: folder })
  assert.is(data.name, 'svhn-extra')
  assertGolden(data, golden.tiny['svhn-extra'])
  await rm(path.join(folder, 'extra_32x32.mat'))
  assert.is((await openDataset('svhn', { dataDir: folder })).train.count, 5)
  await rejects(
    () => openDataset('svhn-extra', { dataDir: folder }),
    'ERR_DATASET',
    /missing extra_32x32\.mat/,
    /dataset fetch svhn-extra/,
  )
})

test('label 10 means the digit 0', async ({ folder }) => {
  await writeFile(path.join(folder, 'test_32x32.mat'), matFile(12))
  const { test: split } = await readSvhn(folder)
  assert.equal([...split.labels], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2])
})

test('one image, whose last dimension is left out', async ({ folder }) => {
  await writeFile(
    path.join(folder, 'test_32x32.mat'),
    matFile(1, { x: { dimensions: [32, 32, 3] } }),
  )
  const { test: split } = await readSvhn(folder)
  assert.is(split.count, 1)
  // Stored column by column: the second byte is the pixel below the first.
  assert.is(split.images[32], 1)
  assert.is(split.images[1], 32)
})

test('the folder or its parent may be given', async ({ parent, folder }) => {
  for (const dataDir of [parent, folder]) {
    for (const name of ['svhn', 'svhn-extra']) {
      assert.is((await openDataset(name, { dataDir })).test.count, 3)
    }
  }
})

test('labels that are no digits are named with their image', async ({ folder }) => {
  const labels: [number, RegExp][] = [
    [0, /test_32x32\.mat: label 0 of image 1, expected 1\.\.10 \(10 means the digit 0\)/],
    [11, /label 11 of image 1/],
    [2.5, /label 2\.5 of image 1/],
    [Number.NaN, /label NaN of image 1/],
  ]
  for (const [label, pattern] of labels) {
    const y = { matClass: 6, storage: 9, data: writer.doubles(4, label) }
    await writeFile(path.join(folder, 'test_32x32.mat'), matFile(2, { y }))
    await rejects(() => readSvhn(folder), 'ERR_DATASET', pattern)
  }
})

test('arrays of another layout are told', async ({ folder }) => {
  const refuse = async (bytes: Uint8Array, pattern: RegExp) => {
    await writeFile(path.join(folder, 'train_32x32.mat'), bytes)
    await rejects(() => readSvhn(folder), 'ERR_DATASET', /train_32x32\.mat: /, pattern)
  }
  await refuse(matFile(2, { x: { name: 'x' } }), /no numeric array X, expected X and y/)
  await refuse(matFile(2, { y: { flags: 0x0800 } }), /no numeric array y/)
  await refuse(
    matFile(2, { x: { dimensions: [3, 32, 32, 2] } }),
    /X is uint8 of 3 x 32 x 32 x 2, expected uint8 of 32 x 32 x 3 x N/,
  )
  await refuse(
    matFile(2, { x: { matClass: 6, storage: 9, data: new Uint8Array(8 * 6_144) } }),
    /X is double of 32 x 32 x 3 x 2/,
  )
  await refuse(
    matFile(2, { y: { dimensions: [3, 1], data: Uint8Array.of(1, 2, 3) } }),
    /y has 3 labels, but X has 2 images/,
  )
})

test('a truncated file and a subset for the whole are refused', async ({ folder }) => {
  await rejects(
    () => readSvhn(folder, { complete: true }),
    'ERR_DATASET',
    /train_32x32\.mat: 5 images, expected 73257/,
  )
  await truncate(path.join(folder, 'test_32x32.mat'), 700)
  await rejects(() => readSvhn(folder), 'ERR_DATASET', /test_32x32\.mat: truncated/)
})

test.run()

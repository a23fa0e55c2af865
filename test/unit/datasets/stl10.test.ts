import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openDataset } from '../../../lib/datasets/open.js'
import { readStl10, STL10_CLASSES, STL10_FOLDER } from '../../../lib/datasets/stl10.js'
import { makeTempFolder } from '../../helpers/cifar10-fixture.js'
import { rejects } from '../../helpers/expect.js'
import { assertGolden, golden, stl10Files, writeFiles } from '../../helpers/official-files.js'

const test = suite<{ parent: string; folder: string }>('stl10')
const files = stl10Files()

test.before.each(async (context) => {
  context.parent = await makeTempFolder()
  context.folder = path.join(context.parent, STL10_FOLDER)
  await writeFiles(context.folder, files)
})

test.after.each(({ parent }) => rm(parent, { recursive: true, force: true }))

test('images hold what numpy finds in them, columns turned into rows', async ({ folder }) => {
  for (const [name, bytes] of files) {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    assert.is(sha256, golden.tiny.stl10.sha256?.[name], 'the same files')
  }
  assertGolden(await readStl10(folder), golden.tiny.stl10)
})

test('the second byte of a file is the pixel below the first', async ({ folder }) => {
  const { train } = await readStl10(folder)
  const bytes = files.get('train_X.bin') as Uint8Array
  const pixel = (channel: number, row: number, column: number) =>
    train.images[(channel * 96 + row) * 96 + column]
  assert.is(pixel(0, 0, 0), bytes[0])
  assert.is(pixel(0, 1, 0), bytes[1])
  assert.is(pixel(0, 0, 1), bytes[96])
  assert.is(pixel(2, 5, 95), bytes[2 * 9_216 + 95 * 96 + 5])
})

test('labels begin with 1, and classes are read where they are given', async ({ folder }) => {
  const data = await readStl10(folder)
  assert.equal(data.classes, STL10_CLASSES)
  assert.is(data.train.labels[0], ((files.get('train_y.bin') as Uint8Array)[0] as number) - 1)
  const names = STL10_CLASSES.map((_, label) => `English ${label}`)
  await writeFile(path.join(folder, 'class_names.txt'), `${names.join('\n')}\n`)
  assert.equal((await readStl10(folder)).classes, names)
})

test('the folder or its parent may be given', async ({ parent, folder }) => {
  for (const dataDir of [parent, folder]) {
    assert.is((await openDataset('stl10', { dataDir })).test.count, 2)
  }
})

test('a label that is no class is named with its image', async ({ folder }) => {
  for (const label of [0, 11]) {
    await writeFile(path.join(folder, 'test_y.bin'), Uint8Array.of(3, label))
    await rejects(
      () => readStl10(folder),
      'ERR_DATASET',
      new RegExp(`test_y\\.bin: label ${label} of image 1, expected 1\\.\\.10`),
    )
  }
})

test('files that are truncated, missing or of two sets are named', async ({ folder }) => {
  const y = path.join(folder, 'train_y.bin')
  await writeFile(y, Uint8Array.of(1, 2, 3))
  await rejects(
    () => readStl10(folder),
    'ERR_DATASET',
    /train_y\.bin has 3 labels, but train_X\.bin has 4 images/,
  )
  await writeFile(path.join(folder, 'train_X.bin'), new Uint8Array(27_648 * 2 + 5))
  await rejects(
    () => readStl10(folder),
    'ERR_DATASET',
    /train_X\.bin has 55301 bytes, expected a multiple of 27648 bytes/,
  )
  await rm(y)
  await rejects(() => readStl10(folder), 'ERR_DATASET', /STL-10 .*: missing train_y\.bin$/m)
})

test('where the whole set is wanted, a subset is refused', async ({ folder }) => {
  await rejects(
    () => readStl10(folder, { complete: true }),
    'ERR_DATASET',
    /train_X\.bin has 110592 bytes, expected 138240000 bytes/,
  )
})

test.run()

import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CIFAR100_CLASSES, CIFAR100_FOLDER, readCifar100 } from '../../../lib/datasets/cifar100.js'
import { openDataset } from '../../../lib/datasets/open.js'
import { makeTempFolder } from '../../helpers/cifar10-fixture.js'
import { rejects } from '../../helpers/expect.js'
import { assertGolden, cifar100Files, golden, writeFiles } from '../../helpers/official-files.js'

const test = suite<{ parent: string; folder: string }>('cifar100')
const files = cifar100Files()

test.before.each(async (context) => {
  context.parent = await makeTempFolder()
  context.folder = path.join(context.parent, CIFAR100_FOLDER)
  await writeFiles(context.folder, files)
})

test.after.each(({ parent }) => rm(parent, { recursive: true, force: true }))

test('records hold what numpy finds in them, labels are the fine ones', async ({ folder }) => {
  for (const [name, bytes] of files) {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    assert.is(sha256, golden.tiny.cifar100.sha256?.[name], 'the same files')
  }
  assertGolden(await readCifar100(folder), golden.tiny.cifar100)
})

test('classes have their official names, or those of a file', async ({ folder }) => {
  assert.is(CIFAR100_CLASSES.length, 100)
  assert.is(new Set(CIFAR100_CLASSES).size, 100)
  assert.equal((await readCifar100(folder)).classes, CIFAR100_CLASSES)
  const names = CIFAR100_CLASSES.map((_, label) => `name ${label}`)
  const file = path.join(folder, 'fine_label_names.txt')
  await writeFile(file, `${names.join('\n')}\n`)
  assert.equal((await readCifar100(folder)).classes, names)
  await writeFile(file, 'apple\n')
  await rejects(() => readCifar100(folder), 'ERR_DATASET', /names 1 classes, expected 100/)
})

test('the folder or its parent may be given', async ({ parent, folder }) => {
  for (const dataDir of [parent, folder]) {
    assert.is((await openDataset('cifar100', { dataDir })).train.count, 7)
  }
})

test('labels out of range are named with their record', async ({ folder }) => {
  const wrong = async (place: number, value: number, pattern: RegExp) => {
    const bytes = Uint8Array.from(files.get('train.bin') as Uint8Array)
    bytes[place] = value
    await writeFile(path.join(folder, 'train.bin'), bytes)
    await rejects(() => readCifar100(folder), 'ERR_DATASET', pattern)
  }
  await wrong(0, 20, /train\.bin: record 0 has coarse label 20, expected 0\.\.19/)
  await wrong(2 * 3_074 + 1, 100, /train\.bin: record 2 has fine label 100, expected 0\.\.99/)
})

test('a truncated file and one that is missing are named', async ({ folder }) => {
  const file = path.join(folder, 'test.bin')
  await writeFile(file, (files.get('test.bin') as Uint8Array).subarray(1))
  await rejects(
    () => readCifar100(folder),
    'ERR_DATASET',
    /test\.bin has 9221 bytes, expected a multiple of 3074 bytes/,
  )
  await rm(file)
  await rejects(
    () => readCifar100(folder),
    'ERR_DATASET',
    /CIFAR-100 is not complete in .*: missing test\.bin/,
    /localformer dataset fetch cifar100/,
  )
})

test('where the whole set is wanted, a subset is refused', async ({ folder }) => {
  await rejects(
    () => readCifar100(folder, { complete: true }),
    'ERR_DATASET',
    /train\.bin has 21518 bytes, expected 153700000 bytes/,
  )
})

test.run()

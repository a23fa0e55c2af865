import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  allocateImages,
  checkRoom,
  DataFiles,
  transposePlanes,
} from '../../../lib/datasets/data-files.js'
import { makeTempFolder } from '../../helpers/cifar10-fixture.js'
import { rejects } from '../../helpers/expect.js'

const test = suite<{ folder: string; files: DataFiles }>('data-files')

test.before.each(async (context) => {
  context.folder = await makeTempFolder()
  context.files = new DataFiles('some', 'Some set', context.folder)
})

test.after.each(({ folder }) => rm(folder, { recursive: true, force: true }))

test('a file holds a whole number of records, and no more than the official one', async ({
  files,
}) => {
  const part = { recordBytes: 10, most: 3, complete: false }
  assert.is(files.records('a', 10, part), 1)
  assert.is(files.records('a', 30, part), 3)
  for (const bytes of [0, 15, 40]) {
    await rejects(
      () => files.records('a', bytes, part),
      'ERR_DATASET',
      new RegExp(`/a has ${bytes} bytes, expected a multiple of 10 bytes .* at most 3$`, 'm'),
    )
  }
  assert.is(files.records('a', 30, { ...part, complete: true }), 3)
  await rejects(
    () => files.records('a', 20, { ...part, complete: true }),
    'ERR_DATASET',
    /expected 30 bytes$/m,
  )
})

test('a file that changes while it is read is told', async ({ files, folder }) => {
  await writeFile(path.join(folder, 'a'), 'four')
  const sizes = await files.sizes(['a'])
  assert.equal([...sizes], [['a', 4]])
  assert.equal(await files.read('a', 4), new TextEncoder().encode('four'))
  await writeFile(path.join(folder, 'a'), 'longer')
  await rejects(
    () => files.read('a', 4),
    'ERR_DATASET',
    /a changed while it was read: 4 bytes, then 6/,
  )
  await rm(path.join(folder, 'a'))
  await rejects(() => files.read('a', 4), 'ERR_DATASET', /Cannot read .*ENOENT/)
})

test('planes stored by columns become rows', () => {
  const planes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19)
  transposePlanes(planes, 3)
  assert.equal([...planes], [1, 4, 7, 2, 5, 8, 3, 6, 9, 11, 14, 17, 12, 15, 18, 13, 16, 19])
})

const GIB = 2 ** 30
const MEMORY = { totalBytes: 16 * GIB, availableBytes: 4 * GIB, freeSwapBytes: GIB }

test('images that no memory holds are told before a page of them is written', async () => {
  await rejects(
    () => checkRoom('Some set', 5 * GIB + 1, MEMORY),
    'ERR_DATASET',
    /^The images of Some set take 5.00 GiB of memory, of which 5.00 GiB is free\n/,
  )
  checkRoom('Some set', 5 * GIB, MEMORY)
  await rejects(() => allocateImages('Some set', 2 ** 52), 'ERR_DATASET', / is free\n/)
  // No array has a length below 0, as none has one above Node's bound, which a machine with much memory meets.
  await rejects(() => allocateImages('Some set', -1), 'ERR_DATASET', /-1 bytes, which cannot/)
  assert.is(allocateImages('Some set', 1000).length, 1000)
})

test.run()

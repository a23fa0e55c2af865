import { rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import {
  CIFAR10_CLASSES,
  CIFAR10_FOLDER,
  CIFAR10_META_FILE,
  CIFAR10_RECORD_BYTES,
  readCifar10,
} from '../../../lib/datasets/cifar10.js'
import { openDataset } from '../../../lib/datasets/open.js'
import { makeBatches, makeTempFolder, writeBatches } from '../../helpers/cifar10-fixture.js'

interface Context {
  parent: string
  folder: string
}

const test = suite<Context>('cifar10')
const batches = makeBatches()

test.before.each(async (context) => {
  context.parent = await makeTempFolder()
  context.folder = path.join(context.parent, CIFAR10_FOLDER)
  await writeBatches(context.folder, batches)
})

test.after.each(({ parent }) => rm(parent, { recursive: true, force: true }))

async function errorOf(promise: Promise<unknown>): Promise<LocalformerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.instance(error, LocalformerError)
  return error as LocalformerError
}

test('records come in the order of the files, labels apart from pixels', async ({ folder }) => {
  const data = await readCifar10(folder)
  assert.equal(data.classes, CIFAR10_CLASSES)
  assert.is(data.train.count, 15)
  assert.is(data.test.count, 3)
  assert.is(data.train.height * data.train.width * data.train.channels, 3072)
  const fourth = batches.get('data_batch_2.bin') as Uint8Array
  assert.is(data.train.labels[3], fourth[0])
  assert.equal(data.train.images.slice(3 * 3072, 4 * 3072), fourth.slice(1, 3073))
  const last = (batches.get('test_batch.bin') as Uint8Array).slice(-3072)
  assert.equal(data.test.images.slice(-3072), last)
})

test('the folder or its parent may be given', async ({ parent, folder }) => {
  for (const dataDir of [parent, folder]) {
    assert.is((await openDataset('cifar10', { dataDir })).train.count, 15)
  }
})

test('class names are read where they are given', async ({ folder }) => {
  const names = Array.from({ length: 10 }, (_, label) => `name ${label}`)
  await writeFile(path.join(folder, CIFAR10_META_FILE), `${names.join('\r\n')}\r\n\r\n`)
  assert.equal((await readCifar10(folder)).classes, names)
  await writeFile(path.join(folder, CIFAR10_META_FILE), 'one\ntwo\n')
  const error = await errorOf(readCifar10(folder))
  assert.is(error.code, 'ERR_DATASET')
  assert.match(error.message, /names 2 classes, expected 10/)
})

test('missing files are all listed, with the command that mends it', async ({ folder }) => {
  await rm(path.join(folder, 'data_batch_2.bin'))
  await rm(path.join(folder, 'test_batch.bin'))
  const error = await errorOf(readCifar10(folder))
  assert.is(error.code, 'ERR_DATASET')
  assert.match(error.message, /missing data_batch_2.bin, test_batch.bin$/)
  assert.match(error.hint ?? '', /localformer dataset fetch cifar10/)
})

test('a truncated file is named with its size', async ({ folder }) => {
  const file = path.join(folder, 'data_batch_4.bin')
  for (const bytes of [0, CIFAR10_RECORD_BYTES * 2 - 1]) {
    await truncate(file, bytes)
    const error = await errorOf(readCifar10(folder))
    assert.is(error.code, 'ERR_DATASET')
    assert.ok(error.message.startsWith(`${file} has ${bytes} bytes, expected a multiple of 3073`))
  }
})

test('a label that is no class is named with its record', async ({ folder }) => {
  const bytes = Uint8Array.from(batches.get('data_batch_3.bin') as Uint8Array)
  bytes[2 * CIFAR10_RECORD_BYTES] = 10
  await writeFile(path.join(folder, 'data_batch_3.bin'), bytes)
  const error = await errorOf(readCifar10(folder))
  assert.is(error.code, 'ERR_DATASET')
  assert.match(error.message, /data_batch_3.bin: record 2 has label 10, expected 0..9/)
})

test('where the whole set is wanted, a subset is refused', async ({ folder }) => {
  const error = await errorOf(readCifar10(folder, { complete: true }))
  assert.match(error.message, /data_batch_1.bin has 9219 bytes, expected 30730000 bytes/)
})

test.run()

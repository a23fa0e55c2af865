import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { PNG } from 'pngjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CIFAR10_FOLDER } from '../../lib/datasets/cifar10.js'
import { makeBatches, makeTempFolder, writeBatches } from '../helpers/cifar10-fixture.js'
import { copySvhn } from '../helpers/official-files.js'

const test = suite<{ temp: string }>('localformer dataset')
const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))

test.before.each(async (context) => {
  context.temp = await makeTempFolder()
})

test.after.each(({ temp }) => rm(temp, { recursive: true, force: true }))

/** Runs with an empty cache and without the network. */
function localformer(temp: string, ...args: string[]) {
  const env = {
    ...process.env,
    LOCALFORMER_CACHE: path.join(temp, 'cache'),
    LOCALFORMER_OFFLINE: '1',
  }
  const result = spawnSync(process.execPath, [main, 'dataset', ...args], { env, encoding: 'utf8' })
  const json = () => JSON.parse(result.stdout)
  return { code: result.status, stdout: result.stdout, stderr: result.stderr, json }
}

test('list names the data sets and where they stand', ({ temp }) => {
  const { code, json } = localformer(temp, 'list', '--json')
  assert.is(code, 0)
  const { schema, datasets } = json()
  assert.is(schema, 1)
  assert.equal(
    datasets.map(({ name, state }: { name: string; state: string }) => [name, state]),
    [
      ['cifar10', 'not fetched'],
      ['cifar100', 'not fetched'],
      ['stl10', 'not fetched'],
      ['svhn', 'not fetched'],
      ['svhn-extra', 'not fetched'],
      ['image-folder', 'your folder'],
      ['synthetic', 'built in'],
    ],
  )
  assert.match(localformer(temp, 'list').stdout, /^cifar10 +not fetched +CIFAR-10/m)
})

test('info counts images and classes of a folder', async ({ temp }) => {
  await writeBatches(path.join(temp, CIFAR10_FOLDER), makeBatches())
  const { code, json } = localformer(temp, 'info', 'cifar10', '--data-dir', temp, '--json')
  assert.is(code, 0)
  const document = json()
  assert.is(document.schema, 1)
  assert.is(document.classes.length, 10)
  assert.equal(
    document.splits.map(({ name, count }: { name: string; count: number }) => [name, count]),
    [
      ['train', 15],
      ['test', 3],
    ],
  )
  const text = localformer(temp, 'info', 'cifar10', '--data-dir', temp)
  assert.match(text.stdout, /^train: 15 images of 32 x 32 pixels$/m)
  assert.match(text.stdout, /^ {2}9 truck +\d+ +\d+$/m)
})

test('info of a data set that is not here says how to get it', ({ temp }) => {
  const { code, stderr, json } = localformer(temp, 'info', 'cifar10', '--json')
  assert.is(code, 1)
  assert.is(json().error.code, 'ERR_DATASET')
  assert.match(stderr, /localformer dataset fetch cifar10/)
})

test('an unknown name is a wrong use', ({ temp }) => {
  const { code, stderr } = localformer(temp, 'info', 'cifar11')
  assert.is(code, 2)
  assert.match(stderr, /one of cifar10, cifar100, .*synthetic/)
  assert.is(localformer(temp, 'fetch', 'synthetic').code, 2)
  assert.is(localformer(temp, 'fetch', 'image-folder').code, 2)
  assert.is(localformer(temp).code, 2)
})

test('fetch offline fails and says how to place the files by hand', ({ temp }) => {
  const { code, stderr } = localformer(temp, 'fetch', 'stl10')
  assert.is(code, 1)
  assert.match(stderr, /LOCALFORMER_OFFLINE/)
  assert.match(stderr, /get http:\/\/ai\.stanford\.edu\/\S+\/stl10_binary\.tar\.gz by other means/)
  const folder = path.join(temp, 'cache/datasets/stl10_binary')
  assert.ok(stderr.includes(`put train_X.bin, train_y.bin, test_X.bin, test_y.bin into ${folder}`))
})

test('info draws a contact sheet, whole or not at all', async ({ temp }) => {
  await copySvhn(temp)
  const file = path.join(temp, 'sheet.png')
  const args = ['info', 'svhn', '--data-dir', temp, '--contact-sheet']
  const { code, stderr } = localformer(temp, ...args, file)
  assert.is(code, 0)
  assert.ok(stderr.includes(`Wrote ${file}: up to 10 train images of a class a row`))
  const png = PNG.sync.read(await readFile(file))
  assert.equal([png.width, png.height], [10 * 34 + 2, 10 * 34 + 2])
  assert.equal(
    (await readdir(temp)).filter((name) => name.includes('sheet')),
    ['sheet.png'],
  )
  const nowhere = localformer(temp, ...args, path.join(temp, 'none/sheet.png'), '--json')
  assert.is(nowhere.code, 2)
  assert.match(nowhere.json().error.message, /of --contact-sheet cannot be written: there is no/)
})

test('info of photos in folders', async ({ temp }) => {
  const args = ['info', 'image-folder', '--json']
  assert.is(localformer(temp, ...args).code, 2)
  const photos = path.join(temp, 'photos')
  for (const folder of ['train/cat', 'train/dog', 'test/cat']) {
    await mkdir(path.join(photos, folder), { recursive: true })
    const png = new PNG({ width: 20, height: 10 })
    png.data.fill(folder.endsWith('cat') ? 10 : 20)
    await writeFile(path.join(photos, folder, 'a.png'), PNG.sync.write(png, { colorType: 2 }))
  }
  const { code, stderr, json } = localformer(
    temp,
    ...[...args, '--data-dir', photos, '--image-size', '16'],
  )
  assert.is(code, 0)
  assert.match(stderr, /^Decoding image-folder {2}100 %/m)
  assert.equal(json().classes, ['cat', 'dog'])
  const [train] = json().splits
  assert.equal([train.count, train.height, train.perClass], [2, 16, [1, 1]])
  await rm(path.join(photos, 'train/dog/a.png'))
  const empty = localformer(temp, ...args, '--data-dir', photos)
  assert.is(empty.code, 1)
  assert.match(empty.json().error.message, /class folder .*train\/dog has no photos/)
})

test('fetch --from a path that is not there says so', ({ temp }) => {
  const { code, json } = localformer(temp, 'fetch', 'cifar10', '--from', '/nope', '--json')
  assert.is(code, 1)
  assert.is(json().error.code, 'ERR_DATASET')
  assert.match(json().error.message, /^Cannot read \/nope: ENOENT/)
})

test('fetch takes no subset for the data set', async ({ temp }) => {
  await writeBatches(path.join(temp, CIFAR10_FOLDER), makeBatches())
  const { code, stderr } = localformer(temp, 'fetch', 'cifar10', '--from', temp)
  assert.is(code, 1)
  assert.match(stderr, /The sha256 of data_batch_1.bin .*ERR_CHECKSUM/)
})

test.run()

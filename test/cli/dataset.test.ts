import { spawnSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CIFAR10_FOLDER } from '../../lib/datasets/cifar10.js'
import { makeBatches, makeTempFolder, writeBatches } from '../helpers/cifar10-fixture.js'

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
  assert.match(stderr, /one of cifar10, synthetic/)
  assert.is(localformer(temp, 'fetch', 'synthetic').code, 2)
  assert.is(localformer(temp).code, 2)
})

test('fetch offline fails and leaves the cache empty', ({ temp }) => {
  const { code, stderr } = localformer(temp, 'fetch', 'cifar10')
  assert.is(code, 1)
  assert.match(stderr, /LOCALFORMER_OFFLINE/)
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

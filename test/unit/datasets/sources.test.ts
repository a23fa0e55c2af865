// Fetches of CIFAR-100, STL-10 and SVHN from a server on this machine: what is taken, resumed, refused.
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import * as tar from 'tar'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CIFAR100_FOLDER,
  CIFAR100_SOURCES,
  cifar100Recipe,
  readCifar100,
} from '../../../lib/datasets/cifar100.js'
import { type DatasetRecipe, type FetchEvent, fetchDataset } from '../../../lib/datasets/fetch.js'
import { DATASETS } from '../../../lib/datasets/open.js'
import { STL10_FOLDER, STL10_SOURCES, stl10Recipe } from '../../../lib/datasets/stl10.js'
import {
  SVHN_EXTRA_FOLDER,
  SVHN_FOLDER,
  SVHN_SOURCES,
  svhnRecipe,
} from '../../../lib/datasets/svhn.js'
import { makeTempFolder, sendFile, serve, type TestServer } from '../../helpers/cifar10-fixture.js'
import { rejects } from '../../helpers/expect.js'
import {
  cifar100Files,
  copySvhn,
  readSvhnFile,
  stl10Files,
  writeFiles,
} from '../../helpers/official-files.js'

const test = suite<{ temp: string; root: string; server: TestServer | undefined }>(
  'dataset sources',
)
const limits = { connectMs: 10_000, stallMs: 10_000, retryMs: 0, attempts: 2 }
const NOWHERE = 'http://127.0.0.1:9/'

test.before.each(async (context) => {
  delete process.env.LOCALFORMER_OFFLINE
  context.temp = await makeTempFolder()
  context.root = path.join(context.temp, 'datasets')
  context.server = undefined
})

test.after.each(async ({ temp, server }) => {
  await server?.close()
  await rm(temp, { recursive: true, force: true })
})

const sumOf = (algorithm: 'md5' | 'sha256', bytes: Uint8Array) =>
  createHash(algorithm).update(bytes).digest('hex')

type Files = ReadonlyMap<string, Uint8Array>

/** Like an official archive: the files in a folder, and others beside them. */
async function pack(temp: string, folder: string, files: Files): Promise<string> {
  await writeFiles(path.join(temp, folder), files)
  await writeFiles(path.join(temp, folder), new Map([['unlabeled_X.bin', 'not wanted']]))
  const archive = path.join(temp, `${folder}.tar.gz`)
  await tar.c({ file: archive, cwd: temp, gzip: true }, [folder])
  return archive
}

async function smallCifar100(archive: string, files: Files, url = NOWHERE): Promise<DatasetRecipe> {
  return cifar100Recipe({
    archive: { url, md5: sumOf('md5', await readFile(archive)), limits },
    files: [...files].map(([name, bytes]) => ({
      ...{ name, bytes: bytes.length, sha256: sumOf('sha256', bytes) },
    })),
    neededBytes: 0,
  })
}

async function assertFiles(folder: string, files: ReadonlyMap<string, Uint8Array | string>) {
  assert.equal((await readdir(folder)).sort(), [...files.keys()].sort())
  for (const [name, bytes] of files) {
    const found = await readFile(path.join(folder, name))
    assert.ok(found.equals(Buffer.from(bytes as Uint8Array)), name)
  }
}

test('CIFAR-100: the archive is fetched with its names and nothing else', async (context) => {
  const { temp, root } = context
  const files = cifar100Files()
  const names = new Map([['fine_label_names.txt', 'apple\n'.repeat(100)]])
  await writeFiles(path.join(temp, CIFAR100_FOLDER), names)
  const archive = await pack(temp, CIFAR100_FOLDER, files)
  const bytes = await readFile(archive)
  context.server = await serve((request, response) => sendFile(request, response, bytes))
  const recipe = await smallCifar100(archive, files, context.server.url)
  const { directory, source } = await fetchDataset(recipe, { root })
  assert.is(source, 'official')
  assert.is(directory, path.join(root, CIFAR100_FOLDER))
  await assertFiles(directory, new Map<string, Uint8Array | string>([...files, ...names]))
  assert.is((await readCifar100(directory)).train.count, 7)
  assert.is((await fetchDataset(recipe, { root })).source, 'cache')
  assert.is(context.server.ranges.length, 1)
})

test('STL-10: the images without labels are never written', async (context) => {
  const { temp, root } = context
  const files = stl10Files()
  const archive = await pack(temp, STL10_FOLDER, files)
  const bytes = await readFile(archive)
  // The line drops once: the rest is asked for.
  let isFirst = true
  context.server = await serve((request, response) => {
    sendFile(request, response, bytes, isFirst ? 2_000 : undefined)
    isFirst = false
  })
  const recipe = stl10Recipe({
    archive: { url: context.server.url, md5: sumOf('md5', bytes), limits },
    files: [...files].map(([name, data]) => ({
      ...{ name, bytes: data.length, md5: sumOf('md5', data) },
    })),
    neededBytes: 0,
  })
  const { directory } = await fetchDataset(recipe, { root })
  await assertFiles(directory, files)
  assert.equal(await readdir(root), [STL10_FOLDER])
  assert.match(context.server.ranges[1] ?? '', /^bytes=\d+-$/)
})

test('STL-10: a file with another md5 is refused, and nothing stays', async ({ temp, root }) => {
  const files = stl10Files()
  const archive = await pack(temp, STL10_FOLDER, files)
  const wrong = stl10Recipe({
    archive: { url: NOWHERE, md5: '', limits },
    files: [...files].map(([name, data]) => ({
      ...{ name, bytes: data.length },
      md5: name === 'test_y.bin' ? '0'.repeat(32) : sumOf('md5', data),
    })),
    neededBytes: 0,
  })
  await rejects(
    () => fetchDataset(wrong, { root, from: archive }),
    'ERR_CHECKSUM',
    /The md5 of test_y\.bin \(2 bytes\) is \w{32}, expected 0{32}/,
  )
  assert.equal(await readdir(root), [])
})

test('a file that is larger than it can be, or stands twice, is not unpacked', async (context) => {
  const { temp, root } = context
  const files = cifar100Files()
  const archive = await pack(temp, CIFAR100_FOLDER, files)
  const recipe = await smallCifar100(archive, files)
  const refused = async (reason: RegExp) => {
    const events: FetchEvent[] = []
    const onEvent = (event: FetchEvent) => events.push(event)
    const work = () => fetchDataset(recipe, { root, from: archive, onEvent })
    await rejects(work, 'ERR_DATASET', /Cannot unpack/, reason)
    assert.equal(await readdir(root), [])
  }
  const folder = path.join(temp, CIFAR100_FOLDER)
  await writeFile(path.join(folder, 'test.bin'), Buffer.alloc(2 ** 24))
  await tar.c({ file: archive, cwd: temp, gzip: true }, [CIFAR100_FOLDER])
  await refused(/test\.bin has 16777216 bytes in it, at most \d+/)
  await writeFiles(folder, new Map([['fine_label_names.txt', 'x'.repeat(2 ** 17)]]))
  await writeFiles(folder, files)
  await tar.c({ file: archive, cwd: temp, gzip: true }, [CIFAR100_FOLDER])
  await refused(/fine_label_names\.txt has 131072 bytes in it, at most 65536/)
  await rm(path.join(folder, 'fine_label_names.txt'))
  const twice = [`${CIFAR100_FOLDER}/test.bin`, `${CIFAR100_FOLDER}/test.bin`]
  await tar.c({ file: archive, cwd: temp, gzip: true }, twice)
  await refused(/test\.bin stands in it twice/)
})

test('an archive or a folder that is here serves; what is missing in it is named', async ({
  temp,
  root,
}) => {
  const files = cifar100Files()
  const archive = await pack(temp, CIFAR100_FOLDER, files)
  const recipe = await smallCifar100(archive, files)
  const folder = path.join(temp, CIFAR100_FOLDER)
  for (const from of [archive, folder, temp]) {
    assert.is((await fetchDataset(recipe, { root, from })).source, 'local')
    await assertFiles(path.join(root, CIFAR100_FOLDER), files)
    await rm(root, { recursive: true })
  }
  assert.ok((await readdir(folder)).includes('test.bin'), 'the user keeps what is his')
  await rm(path.join(folder, 'test.bin'))
  await rejects(
    () => fetchDataset(recipe, { root, from: folder }),
    'ERR_DATASET',
    /No whole CIFAR-100 in .*: missing test\.bin/,
  )
  await mkdir(path.join(temp, 'empty'))
  await rejects(
    () => fetchDataset(recipe, { root, from: path.join(temp, 'empty') }),
    'ERR_DATASET',
    /No CIFAR-100 in .*empty: expected train\.bin, test\.bin/,
  )
})

const SVHN_NAMES = ['train', 'test', 'extra'] as const

/** scipy's files in the place of the official ones. */
function smallSvhn(extra: boolean, base = NOWHERE): DatasetRecipe {
  const file = (name: (typeof SVHN_NAMES)[number]) => {
    const bytes = readSvhnFile(name)
    const sums = { md5: sumOf('md5', bytes), sha256: sumOf('sha256', bytes) }
    return { name: `${name}_32x32.mat`, bytes: bytes.length, ...sums }
  }
  const [train, trial, more] = SVHN_NAMES.map(file)
  if (!train || !trial || !more) throw new Error('three files')
  return svhnRecipe(extra, { base, limits, train, test: trial, extra: more })
}

/** Serves the files by their names; `limits` are bytes after which the line drops. */
async function serveSvhn(drops: Record<string, number | undefined> = {}) {
  const asked: string[] = []
  const server = await serve((request, response) => {
    const name = path.basename(request.url ?? '')
    asked.push(name)
    const key = name.replace('_32x32.mat', '') as (typeof SVHN_NAMES)[number]
    sendFile(request, response, readSvhnFile(key), drops[key])
  })
  return { server, asked, base: server.url.replace(/[^/]*$/, '') }
}

const svhnFiles = (...names: (typeof SVHN_NAMES)[number][]) =>
  new Map(names.map((name) => [`${name}_32x32.mat`, readSvhnFile(name)]))

test('SVHN: extra is fetched only when asked for, and then only what is not there', async (context) => {
  const { root } = context
  const { server, asked, base } = await serveSvhn()
  context.server = server
  const told: FetchEvent[] = []
  const onEvent = (event: FetchEvent) => told.push(event)
  const { directory } = await fetchDataset(smallSvhn(false, base), { root, onEvent })
  assert.is(directory, path.join(root, SVHN_FOLDER))
  await assertFiles(directory, svhnFiles('train', 'test'))
  assert.equal(asked, ['train_32x32.mat', 'test_32x32.mat'])
  const total = readSvhnFile('train').length + readSvhnFile('test').length
  const last = told
    .filter((event) => event.type === 'progress' && event.phase === 'download')
    .at(-1)
  assert.equal(last, {
    ...{ type: 'progress', phase: 'download', unit: 'bytes' },
    done: total,
    total,
  })
  const { directory: more } = await fetchDataset(smallSvhn(true, base), { root })
  await assertFiles(more, svhnFiles('train', 'test', 'extra'))
  assert.equal(asked.slice(2), ['extra_32x32.mat'])
  assert.equal(await readdir(root), [SVHN_FOLDER, SVHN_EXTRA_FOLDER])
  await rm(directory, { recursive: true })
  await fetchDataset(smallSvhn(false, base), { root })
  await assertFiles(directory, svhnFiles('train', 'test'))
  assert.is(asked.length, 3, 'taken from the other one')
  assert.is((await fetchDataset(smallSvhn(false, base), { root })).source, 'cache')
})

test('SVHN: what had come of several files is kept for the next fetch', async (context) => {
  const { root } = context
  const drops: Record<string, number | undefined> = { test: 500 }
  const { server, asked, base } = await serveSvhn(drops)
  context.server = server
  const recipe = smallSvhn(false, base)
  await rejects(() => fetchDataset(recipe, { root }), 'ERR_DATASET', /connection was lost/)
  assert.equal(await readdir(root), [`.partial.${SVHN_FOLDER}.official`])
  const before = asked.length
  drops.test = undefined
  await fetchDataset(recipe, { root })
  assert.equal(asked.slice(before), ['test_32x32.mat'])
  assert.match(server.ranges.at(-1) ?? '', /^bytes=\d+-$/)
  await assertFiles(path.join(root, SVHN_FOLDER), svhnFiles('train', 'test'))
  assert.equal(await readdir(root), [SVHN_FOLDER])
})

test('SVHN: a folder with the files serves', async ({ temp, root }) => {
  const recipe = smallSvhn(true)
  const from = path.join(temp, 'mine')
  await copySvhn(from)
  await fetchDataset(recipe, { root, from })
  for (const folder of [from, path.join(root, SVHN_EXTRA_FOLDER)]) {
    await assertFiles(folder, svhnFiles('train', 'test', 'extra'))
  }
  const file = path.join(temp, 'train_32x32.mat')
  await writeFile(file, readSvhnFile('train'))
  await rejects(
    () => fetchDataset(recipe, { root: temp, from: file }),
    'ERR_DATASET',
    /Cannot unpack/,
  )
})

test('a host that cannot be reached: how to place the files by hand', async ({ root }) => {
  const error = await rejects(
    () => fetchDataset(smallSvhn(true), { root }),
    'ERR_DATASET',
    /Cannot download http:\/\/127\.0\.0\.1:9\/train_32x32\.mat: .*ECONNREFUSED/,
    /get http:\S+train_32x32\.mat and \S+test_32x32\.mat and \S+extra_32x32\.mat by other means/,
    /`npx localformer dataset fetch svhn-extra --from PATH`/,
    /`--data-dir`/,
  )
  const place = path.join(root, SVHN_EXTRA_FOLDER)
  const names = 'train_32x32.mat, test_32x32.mat, extra_32x32.mat'
  assert.ok(error.hint?.includes(`put ${names} into ${place},`), error.hint)
})

test('official files have the sizes that their layouts make, and a sum each', () => {
  const bytesOf = (files: readonly { name: string; bytes: number }[]) =>
    files.map(({ name, bytes }) => [name, bytes])
  assert.equal(bytesOf(CIFAR100_SOURCES.files), [
    ['train.bin', 50_000 * 3_074],
    ['test.bin', 10_000 * 3_074],
  ])
  assert.equal(bytesOf(STL10_SOURCES.files), [
    ['train_X.bin', 5_000 * 27_648],
    ['train_y.bin', 5_000],
    ['test_X.bin', 8_000 * 27_648],
    ['test_y.bin', 8_000],
  ])
  assert.is(SVHN_SOURCES.base, 'http://ufldl.stanford.edu/housenumbers/')
  for (const { recipe } of DATASETS) {
    for (const { name, sha256, md5 } of recipe?.files ?? []) {
      assert.match(sha256 ?? md5 ?? '', /^([0-9a-f]{64}|[0-9a-f]{32})$/, name)
    }
  }
})

test.run()

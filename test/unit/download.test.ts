import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { downloadFile, hashFile } from '../../lib/datasets/download.js'
import { LocalformerError } from '../../lib/errors.js'
import { makeTempFolder, sendFile, serve, type TestServer } from '../helpers/cifar10-fixture.js'

interface Context {
  temp: string
  file: string
  server: TestServer | undefined
}

const test = suite<Context>('download')
const body = Uint8Array.from({ length: 300_000 }, (_, place) => (place * 31) % 251)
const limits = { connectMs: 10_000, stallMs: 10_000, retryMs: 0 }

test.before.each(async (context) => {
  context.temp = await makeTempFolder()
  context.file = path.join(context.temp, 'file')
  context.server = undefined
})

test.after.each(async ({ temp, server }) => {
  await server?.close()
  await rm(temp, { recursive: true, force: true })
})

async function errorOf(promise: Promise<unknown>): Promise<LocalformerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.instance(error, LocalformerError)
  return error as LocalformerError
}

test('a download tells its bytes and follows redirects', async (context) => {
  context.server = await serve((request, response) => {
    if (request.url === '/file.tar.gz') response.writeHead(302, { location: '/moved' }).end()
    else sendFile(request, response, body)
  })
  const told: (number | undefined)[][] = []
  const result = await downloadFile(context.server.url, context.file, {
    limits,
    onBytes: (done, total) => told.push([done, total]),
  })
  assert.equal(result, { bytes: body.length, resumedBytes: 0, attempts: 1 })
  assert.equal(told.at(-1), [body.length, body.length])
  assert.equal(new Uint8Array(await readFile(context.file)), body)
})

test('bytes come as they are stored, whatever encoding the host claims', async (context) => {
  context.server = await serve((_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(body)
  })
  await downloadFile(context.server.url, context.file, { limits })
  assert.equal(new Uint8Array(await readFile(context.file)), body)
})

test('a dropped connection is resumed where it broke off', async (context) => {
  let requests = 0
  context.server = await serve((request, response) => {
    requests++
    sendFile(request, response, body, requests < 3 ? 100_000 : undefined)
  })
  const result = await downloadFile(context.server.url, context.file, { limits })
  assert.is(result.attempts, 3)
  // How much had come through when the line dropped is not the server's to say.
  const starts = context.server.ranges.map((range) => Number(/\d+/.exec(range ?? '0')?.[0]))
  assert.is(starts.length, 3)
  assert.ok(0 < (starts[1] as number) && (starts[1] as number) < (starts[2] as number), `${starts}`)
  assert.equal(new Uint8Array(await readFile(context.file)), body)
})

test('bytes of an earlier process are kept, or all is sent anew', async (context) => {
  for (const honoursRange of [true, false]) {
    await writeFile(context.file, body.subarray(0, 1_000))
    const server = await serve((request, response) => {
      if (!honoursRange) delete request.headers.range
      sendFile(request, response, body)
    })
    const result = await downloadFile(server.url, context.file, { limits })
    await server.close()
    assert.is(result.resumedBytes, honoursRange ? 1_000 : 0)
    assert.equal(new Uint8Array(await readFile(context.file)), body)
  }
})

test('a file that was whole already is left as it is', async (context) => {
  await writeFile(context.file, body)
  context.server = await serve((request, response) => sendFile(request, response, body))
  const result = await downloadFile(context.server.url, context.file, { limits })
  assert.is(result.resumedBytes, body.length)
  assert.equal(new Uint8Array(await readFile(context.file)), body)
})

test('a connection that drops every time is given up, what came is kept', async (context) => {
  context.server = await serve((request, response) => sendFile(request, response, body, 10_000))
  const error = await errorOf(
    downloadFile(context.server.url, context.file, { limits: { ...limits, attempts: 3 } }),
  )
  assert.is(error.code, 'ERR_DATASET')
  const kept = Number(/lost after (\d+) bytes/.exec(error.message)?.[1])
  assert.is((await readFile(context.file)).length, kept)
  assert.is(context.server.ranges.length, 3)
})

test('a host that says nothing is given up', async (context) => {
  context.server = await serve(() => {})
  const error = await errorOf(
    downloadFile(context.server.url, context.file, { limits: { ...limits, connectMs: 20 } }),
  )
  assert.match(error.message, /Cannot download http:.*: no answer for 0.02 s/)
})

test('a host that falls silent is given up', async (context) => {
  context.server = await serve((_, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('ab')
  })
  const error = await errorOf(
    downloadFile(context.server.url, context.file, {
      limits: { ...limits, stallMs: 20, attempts: 1 },
    }),
  )
  assert.match(error.message, /lost after 2 bytes \(no byte for 0.02 s\)/)
})

test('an error of the host is told', async (context) => {
  context.server = await serve((_, response) => response.writeHead(404).end())
  const error = await errorOf(downloadFile(context.server.url, context.file, { limits }))
  assert.is(error.code, 'ERR_DATASET')
  assert.match(error.message, /the host answered 404 Not Found/)
  assert.is(context.server.ranges.length, 1)
})

test('a redirect in circles is given up', async (context) => {
  context.server = await serve((_, response) => {
    response.writeHead(302, { location: '/again' }).end()
  })
  const error = await errorOf(downloadFile(context.server.url, context.file, { limits }))
  assert.match(error.message, /more than 5 redirects/)
})

test('an abort ends a download with its reason', async (context) => {
  context.server = await serve((_, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('ab')
  })
  const controller = new AbortController()
  const reason = new Error('enough')
  const error = await downloadFile(context.server.url, context.file, {
    limits,
    signal: controller.signal,
    onBytes: () => controller.abort(reason),
  }).catch((caught: unknown) => caught)
  assert.is(error, reason)
})

test('sums are those of md5sum and sha256sum', async ({ file }) => {
  await writeFile(file, 'abc')
  assert.is(await hashFile(file, 'md5'), '900150983cd24fb0d6963f7d28e17f72')
  assert.match(await hashFile(file, 'sha256'), /^ba7816bf8f01cfea414140de5dae2223/)
})

test.run()

import { readFile, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { pipeline } from 'node:stream'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { downloadFile, hashFile } from '../../../lib/base/download.js'
import { LocalformerError } from '../../../lib/base/errors.js'
import { makeTempFolder, sendFile, serve, type TestServer } from '../../helpers/cifar10-fixture.js'

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

/** A proxy on this machine: forwards plain requests and tunnels, and remembers what it was asked. */
async function startProxy(status = 200) {
  const asked: string[] = []
  const credentials: (string | undefined)[] = []
  const proxy = http.createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    credentials.push(request.headers['proxy-authorization'])
    if (status !== 200) return response.writeHead(status).end()
    http.get(request.url ?? '', { headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      // Unlike pipe, it drops the line where the other one drops.
      pipeline(answer, response, () => {})
    })
  })
  proxy.on('connect', (request, socket) => {
    asked.push(`${request.method} ${request.url}`)
    socket.end(`HTTP/1.1 ${status === 200 ? 502 : status} No\r\n\r\n`)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as AddressInfo
  const close = () => {
    proxy.close()
    proxy.closeAllConnections()
  }
  return { host: `127.0.0.1:${port}`, asked, credentials, close }
}

const PROXY_NAMES = ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']

/** With these variables and none of the kind from outside. */
async function withProxies(
  variables: Readonly<Record<string, string>>,
  work: () => Promise<void>,
): Promise<void> {
  const names = [...PROXY_NAMES, ...PROXY_NAMES.map((name) => name.toUpperCase())]
  const before = names.map((name) => [name, process.env[name]] as const)
  for (const name of names) delete process.env[name]
  Object.assign(process.env, variables)
  try {
    await work()
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

test('a plain address is asked of the proxy, resumed through it too', async (context) => {
  const proxy = await startProxy()
  let requests = 0
  const server = await serve((request, response) => {
    requests++
    sendFile(request, response, body, requests === 1 ? 100_000 : undefined)
  })
  context.server = server
  try {
    await withProxies({ HTTP_PROXY: `http://me:secret@${proxy.host}` }, async () => {
      await downloadFile(server.url, context.file, { limits })
    })
    assert.equal(proxy.asked, [`GET ${server.url}`, `GET ${server.url}`])
    assert.is(proxy.credentials[0], `Basic ${Buffer.from('me:secret').toString('base64')}`)
    assert.equal(new Uint8Array(await readFile(context.file)), body)
    proxy.asked.length = 0
    await withProxies({ http_proxy: proxy.host, NO_PROXY: 'other.host,127.0.0.1' }, async () => {
      await rm(context.file)
      await downloadFile(server.url, context.file, { limits })
    })
    assert.equal(proxy.asked, [], 'not for a host of NO_PROXY')
  } finally {
    proxy.close()
  }
})

test('a secure address is tunnelled to; what the proxy answers is told', async ({ file }) => {
  const proxy = await startProxy(407)
  try {
    await withProxies({ HTTPS_PROXY: `http://me:secret@${proxy.host}` }, async () => {
      const error = await errorOf(downloadFile('https://data.invalid/a', file, { limits }))
      assert.is(error.code, 'ERR_DATASET')
      const text = `Cannot download https://data.invalid/a through the proxy ${proxy.host}: `
      assert.ok(error.message.startsWith(text), error.message)
      assert.match(error.message, /407/)
      assert.not.match(error.message, /secret/)
    })
    assert.equal(proxy.asked, ['CONNECT data.invalid:443'])
  } finally {
    proxy.close()
  }
})

test('a proxy that is not there, or none, is told', async ({ file }) => {
  await withProxies({ all_proxy: 'http://127.0.0.1:9' }, async () => {
    const error = await errorOf(downloadFile('http://data.invalid/a', file, { limits }))
    assert.match(error.message, /through the proxy 127\.0\.0\.1:9: .*ECONNREFUSED/)
  })
  for (const proxy of ['socks5://127.0.0.1:9', 'http://[']) {
    await withProxies({ ALL_PROXY: proxy }, async () => {
      const error = await errorOf(downloadFile('http://data.invalid/a', file, { limits }))
      assert.match(error.message, /the environment names is no http or https address/)
    })
  }
})

test('a redirect to what is no address of the web is refused', async (context) => {
  context.server = await serve((_, response) => {
    response.writeHead(302, { location: 'file:///etc/passwd' }).end()
  })
  const error = await errorOf(downloadFile(context.server.url, context.file, { limits }))
  assert.match(error.message, /it redirects to "file:/)
})

test('sums are those of md5sum and sha256sum', async ({ file }) => {
  await writeFile(file, 'abc')
  assert.is(await hashFile(file, 'md5'), '900150983cd24fb0d6963f7d28e17f72')
  assert.match(await hashFile(file, 'sha256'), /^ba7816bf8f01cfea414140de5dae2223/)
})

test.run()

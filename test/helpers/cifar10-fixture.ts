// A CIFAR-10 of a few made-up records in every form that a fetch meets, and the stand-ins for its
// hosts: an HTTP server on this machine and a script that answers like `npm pack`.
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { PNG } from 'pngjs'
import * as tar from 'tar'
import {
  CIFAR10_BATCH_FILES,
  CIFAR10_CLASSES,
  CIFAR10_FOLDER,
  CIFAR10_META_FILE,
  CIFAR10_RECORD_BYTES,
} from '../../lib/datasets/cifar10.js'
import { CIFAR10_SOURCES, type Cifar10Sources } from '../../lib/datasets/cifar10-fetch.js'
import { randomBelow, randomUint32 } from '../../lib/datasets/shuffle.js'

export async function makeTempFolder(): Promise<string> {
  return mkdtemp(path.join(tmpdir(), 'localformer-test-'))
}

/** File name -> records of noise, three a file; labels 0 to 9. */
export function makeBatches(records = 3): Map<string, Uint8Array> {
  const random = randomUint32(1)
  return new Map(
    CIFAR10_BATCH_FILES.map((name) => {
      const bytes = new Uint8Array(records * CIFAR10_RECORD_BYTES)
      for (let place = 0; place < bytes.length; place++) {
        bytes[place] = randomBelow(random, place % CIFAR10_RECORD_BYTES === 0 ? 10 : 256)
      }
      return [name, bytes]
    }),
  )
}

export async function writeBatches(
  folder: string,
  batches: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, bytes] of batches) await writeFile(path.join(folder, name), bytes)
}

/** All that a test needs to fetch a small CIFAR-10 from this machine. */
export interface Fixture {
  readonly temp: string
  /** The folder that a fetch fills. */
  readonly root: string
  readonly batches: ReadonlyMap<string, Uint8Array>
  /** Like the official archive. */
  readonly archive: string
  /** Like the npm package's tarball. */
  readonly tarball: string
  /** Both stand-ins serve; the official one from a port where nobody listens, until a test sets it. */
  readonly sources: Cifar10Sources
  remove(): Promise<void>
}

export async function makeFixture(): Promise<Fixture> {
  const temp = await makeTempFolder()
  const batches = makeBatches()
  const archive = path.join(temp, 'official.tar.gz')
  await writeBatches(path.join(temp, CIFAR10_FOLDER), batches)
  await writeFile(path.join(temp, CIFAR10_FOLDER, 'readme.html'), 'not wanted')
  await tar.c({ file: archive, cwd: temp, gzip: true }, [CIFAR10_FOLDER])
  const tarball = await makeTarball(temp, batches)
  const fakeNpm = path.join(temp, 'fake-npm.mjs')
  await writeFile(fakeNpm, FAKE_NPM)
  const metaText = `${CIFAR10_CLASSES.join('\n')}\n\n`
  const sources: Cifar10Sources = {
    ...CIFAR10_SOURCES,
    url: 'http://127.0.0.1:9/cifar-10-binary.tar.gz',
    md5: createHash('md5')
      .update(await readFile(archive))
      .digest('hex'),
    downloadLimits: { connectMs: 10_000, stallMs: 10_000, retryMs: 0 },
    npmCommand: [process.execPath, fakeNpm, tarball],
    npmLimits: { pollMs: 5 },
    files: [...batches, [CIFAR10_META_FILE, new TextEncoder().encode(metaText)] as const].map(
      ([name, bytes]) => ({
        name,
        bytes: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      }),
    ),
    neededBytes: 0,
  }
  const remove = () => rm(temp, { recursive: true, force: true })
  return { temp, root: path.join(temp, 'datasets'), batches, archive, tarball, sources, remove }
}

/** `fake-npm.mjs TARBALL pack SPEC --pack-destination FOLDER ...` */
const FAKE_NPM = `import { copyFileSync } from 'node:fs'
const [tarball, ...args] = process.argv.slice(2)
const folder = args[args.indexOf('--pack-destination') + 1]
if (tarball === 'HANG') setInterval(() => {}, 1000)
else if (tarball === 'FAIL') {
  process.stderr.write('npm error code E404\\nnpm error 404 Not Found\\n')
  process.exitCode = 1
} else copyFileSync(tarball, folder + '/package-1.0.0.tgz')
`

async function makeTarball(
  temp: string,
  batches: ReadonlyMap<string, Uint8Array>,
): Promise<string> {
  const folder = path.join(temp, 'package')
  await mkdir(folder)
  const labels = { train: [] as number[], test: [] as number[] }
  for (const [name, bytes] of batches) {
    const count = bytes.length / CIFAR10_RECORD_BYTES
    const png = new PNG({ width: 1024, height: count })
    for (let record = 0; record < count; record++) {
      const start = record * CIFAR10_RECORD_BYTES
      labels[name.startsWith('test') ? 'test' : 'train'].push(bytes[start] as number)
      for (let pixel = 0; pixel < 1024; pixel++) {
        const place = (record * 1024 + pixel) * 4
        for (const channel of [0, 1, 2]) {
          png.data[place + channel] = bytes[start + 1 + channel * 1024 + pixel] as number
        }
        png.data[place + 3] = 255
      }
    }
    const file = path.join(folder, name.replace('.bin', '.png'))
    await writeFile(file, PNG.sync.write(png, { colorType: 2 }))
  }
  await writeFile(path.join(folder, 'train_lables.json'), JSON.stringify(labels.train))
  await writeFile(path.join(folder, 'test_lables.json'), JSON.stringify(labels.test))
  const tarball = path.join(temp, 'package.tgz')
  await tar.c({ file: tarball, cwd: temp, gzip: true }, ['package'])
  return tarball
}

export interface TestServer {
  readonly url: string
  /** `range` of every request, or null. */
  readonly ranges: (string | null)[]
  close(): Promise<void>
}

/** Serves every request with `handler`, on a port of this machine. */
export async function serve(
  handler: (request: http.IncomingMessage, response: http.ServerResponse) => void,
): Promise<TestServer> {
  const ranges: (string | null)[] = []
  const server = http.createServer((request, response) => {
    ranges.push(request.headers.range ?? null)
    handler(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/file.tar.gz`,
    ranges,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Answers like a plain file server, `Range` included; `limit` bytes at most, then the line drops. */
export function sendFile(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  bytes: Uint8Array,
  limit = Number.POSITIVE_INFINITY,
): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  if (start >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
    return
  }
  const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`
  response.writeHead(start > 0 ? 206 : 200, {
    'content-length': bytes.length - start,
    ...(start > 0 ? { 'content-range': range } : {}),
  })
  if (limit >= bytes.length - start) response.end(bytes.subarray(start))
  else response.write(bytes.subarray(start, start + limit), () => response.destroy())
}

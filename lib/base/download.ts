// URL -> file over HTTP(S), through the proxy of the environment where one is set, resumed after a
// dropped connection, given up on a host that stays silent. Node's own client instead of `fetch`:
// fetch unpacks a .tar.gz that a server marks as gzip-encoded, and knows no proxies.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { proxyFor } from './environment.js'
import { type ErrorCode, LocalformerError } from './errors.js'

/** How long a download waits; milliseconds. */
export interface DownloadLimits {
  /** For the first answer of the host, name look-up and connection included; default 5,000. */
  readonly connectMs: number
  /** For the next byte once some have come; default 15,000. */
  readonly stallMs: number
  /** Between a dropped connection and the attempt to resume; default 500. */
  readonly retryMs: number
  /** Connections in all, the first included; default 5. */
  readonly attempts: number
}

export const DOWNLOAD_LIMITS: DownloadLimits = {
  connectMs: 5_000,
  stallMs: 15_000,
  retryMs: 500,
  attempts: 5,
}

export interface DownloadOptions {
  readonly limits?: Partial<DownloadLimits> | undefined
  /** Of the errors; default `ERR_DATASET`. */
  readonly code?: ErrorCode | undefined
  /** Of the errors. */
  readonly hint?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Called as bytes arrive; `total` is undefined where the host does not say. */
  readonly onBytes?: ((done: number, total: number | undefined) => void) | undefined
}

export interface DownloadResult {
  /** Size of the file. */
  readonly bytes: number
  /** Bytes that an earlier, interrupted download had left in the file and that were kept. */
  readonly resumedBytes: number
  /** Connections made. */
  readonly attempts: number
}

const MAX_REDIRECTS = 5

/** The connection was lost after an answer: worth another attempt with `Range`. */
class DroppedConnection extends Error {}

/** What a download that came to nothing is told as. */
type Fail = (reason: string, cause?: unknown) => LocalformerError

/**
 * Downloads `url` into `file`. Bytes already in `file` are taken for the beginning of the same
 * download and the rest is asked for with `Range`; the caller checks the sum. What has arrived stays
 * in `file` when this fails.
 *
 * @throws {LocalformerError} `code` when the host cannot be reached, answers with an error or goes
 *   silent; what `signal` was aborted with; file system errors as they come.
 */
export async function downloadFile(
  url: string,
  file: string,
  options: DownloadOptions = {},
): Promise<DownloadResult> {
  const limits = { ...DOWNLOAD_LIMITS, ...options.limits }
  const fail = failureOf(url, await proxyFor(url), options)
  const resumedBytes = await fileSize(file)
  for (let attempt = 1; ; attempt++) {
    const start = await fileSize(file)
    try {
      const kept = await downloadOnce(url, file, start, { ...options, limits, fail })
      return {
        bytes: await fileSize(file),
        resumedBytes: kept ? resumedBytes : 0,
        attempts: attempt,
      }
    } catch (error) {
      if (!(error instanceof DroppedConnection) || attempt >= limits.attempts) {
        throw error instanceof DroppedConnection ? fail(error.message, error) : error
      }
      await delay(limits.retryMs, undefined, { signal: options.signal }).catch(() => {
        options.signal?.throwIfAborted()
      })
    }
  }
}

interface Connection extends DownloadOptions {
  readonly limits: DownloadLimits
  readonly fail: Fail
}

/** One connection; returns whether the `start` bytes in the file were kept. */
async function downloadOnce(
  url: string,
  file: string,
  start: number,
  connection: Connection,
): Promise<boolean> {
  const response = await request(url, start, connection, MAX_REDIRECTS)
  const resumed = acceptStatus(response, start, connection.fail)
  if (resumed === 'complete') {
    response.destroy()
    return true
  }
  // Before anything else is waited for: what breaks while nobody listens is never told.
  const body = bodyOf(response)
  const handle = await open(file, resumed ? 'a' : 'w')
  try {
    await receive(body, handle, resumed ? start : 0, connection)
  } finally {
    response.destroy()
    await handle.close()
  }
  return resumed
}

/** Whether the body continues at `start`; throws for a status that carries no such body. */
function acceptStatus(
  response: http.IncomingMessage,
  start: number,
  fail: Fail,
): boolean | 'complete' {
  const status = response.statusCode ?? 0
  const range = response.headers['content-range'] ?? ''
  if (status === 200) return false
  if (status === 206 && range.startsWith(`bytes ${start}-`)) return true
  // Nothing is left to send: the process ended between the last byte and the check of the sum.
  if (status === 416 && range === `bytes */${start}`) return 'complete'
  response.destroy()
  const text = `the host answered ${status} ${response.statusMessage ?? ''}`.trim()
  throw fail(range ? `${text} with content-range ${range}` : text)
}

async function receive(
  body: Body,
  handle: FileHandle,
  start: number,
  { limits, signal, onBytes }: Connection,
): Promise<void> {
  const total = body.length === undefined ? undefined : start + body.length
  let done = start
  const stall = setTimeout(() => {
    body.fail(new Error(`no byte for ${limits.stallMs / 1000} s`))
  }, limits.stallMs)
  try {
    for await (const chunk of body.chunks) {
      stall.refresh()
      await handle.appendFile(chunk)
      done += chunk.length
      onBytes?.(done, total)
    }
  } finally {
    clearTimeout(stall)
  }
  // Only the connection can be tried again: errors of the disk were thrown above.
  const cause = body.error()
  if (!cause) return
  signal?.throwIfAborted()
  const reason = `the connection was lost after ${done} bytes (${cause.message})`
  throw new DroppedConnection(reason, { cause })
}

interface Body {
  /** Bytes that the host announced. */
  readonly length: number | undefined
  /** Ends without an error where the connection breaks. */
  readonly chunks: AsyncIterable<Buffer>
  /** After the last chunk: what broke the connection, if anything. */
  error(): Error | undefined
  fail(reason: Error): void
}

/**
 * The body up to where the connection breaks: left to itself, a stream that fails drops what it has
 * received and nobody has read, which would have to be sent again.
 */
function bodyOf(response: http.IncomingMessage): Body {
  const length = Number(response.headers['content-length'])
  const chunks = new PassThrough()
  let broken: Error | undefined
  response.on('data', (chunk: Buffer) => {
    if (!chunks.write(chunk)) response.pause()
  })
  chunks.on('drain', () => response.resume())
  response.on('error', (error) => {
    broken ??= error
  })
  response.on('close', () => {
    if (!response.complete) broken ??= new Error('closed early')
    chunks.end()
  })
  return {
    length: Number.isFinite(length) ? length : undefined,
    chunks,
    error: () => broken,
    fail: (reason) => response.destroy(reason),
  }
}

/** The head of the answer, redirects followed. */
async function request(
  url: string,
  start: number,
  connection: Connection,
  redirects: number,
): Promise<http.IncomingMessage> {
  const { limits, fail, signal } = connection
  signal?.throwIfAborted()
  const agent = await proxyAgent(url, fail)
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const client = url.startsWith('https:') ? https : http
    const headers = start > 0 ? { range: `bytes=${start}-` } : {}
    const outgoing = client.get(url, { headers, agent, ...(signal ? { signal } : {}) })
    const timer = setTimeout(() => {
      outgoing.destroy(new Error(`no answer for ${limits.connectMs / 1000} s`))
    }, limits.connectMs)
    outgoing.once('response', (incoming) => {
      clearTimeout(timer)
      resolve(incoming)
    })
    // Stays for errors after the response, which its reader sees as well.
    outgoing.on('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      reject(signal?.aborted ? signal.reason : fail(reasonOf(cause), cause))
    })
  })
  const location = response.headers.location
  if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || !location) return response
  response.destroy()
  if (redirects === 0) throw fail(`more than ${MAX_REDIRECTS} redirects`)
  const next = URL.canParse(location, url) ? new URL(location, url) : undefined
  if (!next || !/^https?:$/.test(next.protocol)) {
    throw fail(`it redirects to ${JSON.stringify(location)}`)
  }
  return request(next.href, start, connection, redirects - 1)
}

/**
 * The way to a host: through a proxy, or (false) a connection of its own, since a kept-alive one
 * would outlive the download. A plain address is asked of the proxy, which many do not tunnel to.
 */
async function proxyAgent(url: string, fail: Fail): Promise<http.Agent | false> {
  const proxy = await proxyFor(url)
  if (!proxy) return false
  if (!URL.canParse(proxy) || !/^https?:$/.test(new URL(proxy).protocol)) {
    throw fail('the proxy that the environment names is no http or https address')
  }
  if (url.startsWith('https:')) {
    const { HttpsProxyAgent } = await import('https-proxy-agent')
    return new HttpsProxyAgent(proxy)
  }
  const { HttpProxyAgent } = await import('http-proxy-agent')
  return new HttpProxyAgent(proxy)
}

/** A failed connection to several addresses says so in `errors` and nothing in `message`. */
function reasonOf(cause: NodeJS.ErrnoException): string {
  if (cause instanceof AggregateError) {
    return cause.errors.map((error: Error) => error.message).join('; ')
  }
  return cause.message
}

function failureOf(url: string, proxy: string, options: DownloadOptions): Fail {
  const { code = 'ERR_DATASET', hint } = options
  // Without the user's name and password, which may stand in it.
  const through = URL.canParse(proxy) ? ` through the proxy ${new URL(proxy).host}` : ''
  return (reason, cause) =>
    new LocalformerError(code, `Cannot download ${url}${through}: ${reason}`, {
      ...(hint === undefined ? {} : { hint }),
      ...(cause === undefined ? {} : { cause }),
      details: { url },
    })
}

async function fileSize(file: string): Promise<number> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}

/** The sum of a file in hexadecimal; `onBytes` is told the bytes since its last call. */
export async function hashFile(
  file: string,
  algorithm: 'md5' | 'sha256',
  signal?: AbortSignal,
  onBytes?: (bytes: number) => void,
): Promise<string> {
  const hash = createHash(algorithm)
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, signal })) {
    hash.update(chunk as Buffer)
    onBytes?.((chunk as Buffer).length)
  }
  return hash.digest('hex')
}

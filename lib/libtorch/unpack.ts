// From archives and folders to one unpacked LibTorch, laid out as pip does: torch/ with nvidia/ at
// its side, where libtorch_cpu.so's RPATH looks. Members are chosen first and streamed one by one.
import { constants, createReadStream, createWriteStream, existsSync } from 'node:fs'
import { copyFile, mkdir, open, readdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Transform } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import zlib from 'node:zlib'
import yauzl from 'yauzl'
import { hashFile } from '../base/download.js'
import { LocalformerError } from '../base/errors.js'
import { formatBytes } from '../base/format.js'
import { parseVersionPy, readVersion } from './locate.js'
import { type Flavor, isKept, type WheelSpec } from './manifest.js'

/** Called with the bytes done since the last call. */
export type CountBytes = (bytes: number) => void

/** One file of an installation and how to write it. */
export interface Member {
  /** Path in the installation, e.g. `torch/lib/libc10.so`. */
  readonly target: string
  readonly sizeBytes: number
  write(target: string, count: CountBytes, signal: AbortSignal | undefined): Promise<void>
}

/** What a wheel, an archive or a folder holds, read before anything is written. */
export interface Contents {
  readonly kind: 'wheel' | 'archive' | 'folder'
  readonly version: string
  /** CUDA version of the build; null without CUDA; undefined where the files do not say it. */
  readonly cuda: string | null | undefined
  /** The most that can be installed from it; a wheel's companions are not looked at. */
  readonly holds: Flavor
  members(flavor: Flavor): readonly Member[]
  close(): void
}

// Enough to hide the latency of 9,000 small headers; the large libraries come one after another.
const CONCURRENT_MEMBERS = 8
const LARGE_BYTES = 1 << 20
/** A torch wheel has some ten thousand. */
const MAX_ENTRIES = 200_000
/** Of the file that names the version, which is read into memory. */
const MAX_VERSION_BYTES = 64 * 1024

/** @throws {LocalformerError} `ERR_CHECKSUM` when the file is not the wheel that is pinned. */
export async function verifyWheel(
  file: string,
  wheel: WheelSpec,
  count: CountBytes,
  signal: AbortSignal | undefined,
): Promise<void> {
  const sha256 = await hashFile(file, 'sha256', signal, count)
  if (sha256 === wheel.sha256) return
  const { size } = await stat(file)
  throw new LocalformerError(
    'ERR_CHECKSUM',
    `The sha256 of ${file} is ${sha256}, but ${wheel.file} has ${wheel.sha256} ` +
      `(${size} bytes instead of ${wheel.sizeBytes})`,
    { hint: 'The file is damaged or another one of the same name; fetch it again.' },
  )
}

/**
 * Reads the directory of a wheel or of an official LibTorch zip, told apart by what is in it.
 *
 * @throws {LocalformerError} `ERR_CONFIG` when it is neither.
 */
export async function openArchive(file: string): Promise<Contents> {
  const zip = await openZip(file)
  try {
    return await readContents(zip, file)
  } catch (error) {
    zip.close()
    throw isDamage(error) ? notLibtorch(file, 'its directory is damaged', error) : error
  }
}

async function readContents(zip: yauzl.ZipFile, file: string): Promise<Contents> {
  const entries: yauzl.Entry[] = []
  for await (const entry of zip.eachEntry()) {
    if (entries.push(entry) > MAX_ENTRIES) throw notLibtorch(file, `more than ${MAX_ENTRIES} files`)
  }
  const find = (pattern: RegExp) => entries.find((entry) => pattern.test(entry.fileName))
  const read = async (entry: yauzl.Entry) => {
    if (entry.uncompressedSize > MAX_VERSION_BYTES) {
      throw notLibtorch(file, `${entry.fileName} has ${entry.uncompressedSize} bytes`)
    }
    return text(await zip.openReadStreamPromise(entry))
  }
  const holds = flavorHeld(entries.map(({ fileName }) => fileName))
  const close = () => zip.close()
  const choose = (flavor: Flavor, rename: (name: string) => string) =>
    entries
      .map((entry) => ({ entry, target: rename(entry.fileName) }))
      .filter(({ target }) => !target.endsWith('/') && isKept(target, flavor))
      .map(({ entry, target }) => zipMember(zip, entry, target))

  const versionPy = find(/^torch\/version\.py$/)
  if (versionPy) {
    const { version, cuda } = parseVersionPy(await read(versionPy))
    if (version === undefined) throw notLibtorch(file, 'its torch/version.py names no version')
    const members = (flavor: Flavor) => choose(flavor, (name) => name)
    return { kind: 'wheel', version, cuda, holds, members, close }
  }
  const buildVersion = find(/^[^/]+\/build-version$/)
  if (buildVersion) {
    const version = (await read(buildVersion)).trim()
    // Official archives have all under libtorch/; in an installation the root is called torch/.
    const top = buildVersion.fileName.slice(0, -'build-version'.length)
    const rename = (name: string) =>
      name.startsWith(top) ? `torch/${name.slice(top.length)}` : `other/${name}`
    const members = (flavor: Flavor) => choose(flavor, rename)
    return { kind: 'archive', version, cuda: undefined, holds, members, close }
  }
  throw notLibtorch(file, 'it holds neither torch/version.py nor libtorch/build-version')
}

/** By names alone: a pip-installed torch and official archives bring NVIDIA's cuBLAS with them. */
function flavorHeld(names: readonly string[]): Flavor {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name))
  if (!has(/(^|\/)lib\/libtorch_cuda\.so$/)) return 'cpu'
  return has(/(^|\/)lib\/libcublas\b[^/]*\.so/) ? 'cuda' : 'simulated'
}

/**
 * The kept members of one of the wheels that torch needs beside it.
 *
 * @throws {LocalformerError} `ERR_CONFIG` when the file is no zip.
 */
export async function openCompanion(file: string, keeps: (target: string) => boolean) {
  const zip = await openZip(file)
  const members: Member[] = []
  for await (const entry of zip.eachEntry()) {
    const name = entry.fileName
    if (!name.endsWith('/') && keeps(name)) members.push(zipMember(zip, entry, name))
  }
  return { members, close: () => zip.close() }
}

/**
 * Reads an unpacked LibTorch: `root` holds lib/; a pip-installed torch has nvidia/ at its side.
 *
 * @throws {LocalformerError} `ERR_LIBTORCH_VERSION` when no file names its version.
 */
export async function openFolder(root: string): Promise<Contents> {
  const version = readVersion(root)
  if (version === undefined) {
    throw new LocalformerError(
      'ERR_LIBTORCH_VERSION',
      `The version of ${root} cannot be told: it has neither build-version nor version.py`,
    )
  }
  const sources = new Map<string, string>()
  const add = async (folder: string, prefix: string) => {
    for (const name of await filesBelow(folder)) {
      sources.set(`${prefix}/${name}`, path.join(folder, name))
    }
  }
  for (const part of ['lib', 'include', 'share/cmake']) {
    await add(path.join(root, part), `torch/${part}`)
  }
  for (const name of ['version.py', 'build-version']) {
    if (existsSync(path.join(root, name))) sources.set(`torch/${name}`, path.join(root, name))
  }
  await add(path.join(root, '..', 'nvidia'), 'nvidia')
  const sizes = new Map<string, number>()
  for (const [target, source] of sources) sizes.set(target, (await stat(source)).size)
  const members = (flavor: Flavor) =>
    [...sources]
      .filter(([target]) => isKept(target, flavor))
      .map(([target, source]) => fileMember(source, target, sizes.get(target) ?? 0))
  const holds = flavorHeld([...sources.keys()])
  return { kind: 'folder', version, cuda: undefined, holds, members, close: () => {} }
}

/**
 * What a damaged or hostile archive may hold: one file twice, a file where a folder is wanted, more
 * than there can be.
 *
 * @param given Where the members are from, for people.
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function checkMembers(members: readonly Member[], given: string, mostBytes: number): void {
  const refuse = (problem: string) => {
    throw new LocalformerError('ERR_CONFIG', `${given} ${problem}`, {
      hint: 'It is damaged, or no LibTorch.',
    })
  }
  const names = new Set<string>()
  for (const { target } of members) {
    const name = path.posix.normalize(target)
    if (name.startsWith('../') || path.posix.isAbsolute(name))
      refuse(`leads out of its folder: ${name}`)
    if (names.has(name)) refuse(`holds ${name} twice`)
    names.add(name)
  }
  for (const name of names) {
    for (
      let parent = path.posix.dirname(name);
      parent !== '.';
      parent = path.posix.dirname(parent)
    ) {
      if (names.has(parent)) refuse(`holds both ${parent} and ${name}`)
    }
  }
  const bytes = members.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  if (bytes <= mostBytes) return
  refuse(
    `unpacks to ${formatBytes(bytes)}, more than the ${formatBytes(mostBytes)} of any LibTorch`,
  )
}

/** Writes the members below `folder`; rejects with the signal's reason when it is aborted. */
export async function writeMembers(
  members: readonly Member[],
  folder: string,
  count: CountBytes,
  signal: AbortSignal | undefined,
): Promise<void> {
  const parents = new Set(members.map(({ target }) => path.dirname(path.join(folder, target))))
  for (const parent of parents) await mkdir(parent, { recursive: true })
  const write = async (member: Member) => {
    signal?.throwIfAborted()
    await member.write(path.join(folder, member.target), count, signal)
  }
  const queue = members.filter(({ sizeBytes }) => sizeBytes < LARGE_BYTES)
  const worker = async () => {
    for (let next = queue.pop(); next; next = queue.pop()) await write(next)
  }
  const workers = await Promise.allSettled(Array.from({ length: CONCURRENT_MEMBERS }, worker))
  // All have stopped before the first failure is passed on: the caller removes the folder.
  for (const result of workers) if (result.status === 'rejected') throw result.reason
  for (const member of members) {
    if (member.sizeBytes < LARGE_BYTES) continue
    await write(member)
    await flush(path.join(folder, member.target))
  }
}

/** Forces a file to the disk, so that a power failure cannot leave it empty behind a rename. */
export async function flush(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

function zipMember(zip: yauzl.ZipFile, entry: yauzl.Entry, target: string): Member {
  return {
    target,
    sizeBytes: entry.uncompressedSize,
    async write(file, count, signal) {
      try {
        await unpackEntry(zip, entry, file, count, signal)
      } catch (error) {
        signal?.throwIfAborted()
        throw isDamage(error) ? damaged(entry, (error as Error).message, error) : error
      }
    },
  }
}

async function unpackEntry(
  zip: yauzl.ZipFile,
  entry: yauzl.Entry,
  file: string,
  count: CountBytes,
  signal: AbortSignal | undefined,
): Promise<void> {
  const source = await zip.openReadStreamPromise(entry)
  if (entry.uncompressedSize >= LARGE_BYTES) {
    await pipeline(source, checkedCopy(entry, count), createWriteStream(file), { signal })
    return
  }
  // Most members are small headers: a pipeline for each would take most of the time.
  const data = await buffer(source)
  const error = crc32 && crcError(entry, crc32(data))
  if (error) throw error
  await writeFile(file, data)
  count(data.length)
}

/** An error of zlib or the zip library, not of the file system and not one of ours. */
function isDamage(error: unknown): boolean {
  if (error instanceof LocalformerError || !(error instanceof Error)) return false
  return (error as NodeJS.ErrnoException).syscall === undefined
}

function damaged(entry: yauzl.Entry, reason: string, cause?: unknown): LocalformerError {
  const message = `The member ${entry.fileName} of the archive is damaged: ${reason}`
  return new LocalformerError('ERR_CHECKSUM', message, { hint: 'Fetch the archive again.', cause })
}

function fileMember(source: string, target: string, sizeBytes: number): Member {
  return {
    target,
    sizeBytes,
    async write(file, count, signal) {
      if (sizeBytes < LARGE_BYTES) {
        // The kernel copies, or shares the blocks where the file system can.
        await copyFile(source, file, constants.COPYFILE_FICLONE)
        count(sizeBytes)
        return
      }
      const reader = createReadStream(source, { highWaterMark: LARGE_BYTES })
      await pipeline(reader, counting(count), createWriteStream(file), { signal })
    },
  }
}

function counting(count: CountBytes): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      count(chunk.length)
      done(null, chunk)
    },
  })
}

// The zip library checks sizes, not checksums, and zlib.crc32 came with Node.js 20.15: an older
// one relies on the sha256 of the wheel and on the stream's own end mark.
const crc32: typeof zlib.crc32 | undefined = zlib.crc32

function checkedCopy(entry: yauzl.Entry, count: CountBytes): Transform {
  let crc = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (crc32) crc = crc32(chunk, crc)
      count(chunk.length)
      done(null, chunk)
    },
    flush(done) {
      done(crc32 && crcError(entry, crc))
    },
  })
}

function crcError(entry: yauzl.Entry, crc: number): LocalformerError | undefined {
  return crc === entry.crc32 ? undefined : damaged(entry, 'its CRC-32 is another')
}

async function openZip(file: string): Promise<yauzl.ZipFile> {
  try {
    return await yauzl.openPromise(file, { autoClose: false })
  } catch (error) {
    throw notLibtorch(file, `it cannot be read as a zip (${(error as Error).message})`, error)
  }
}

function notLibtorch(file: string, reason: string, cause?: unknown): LocalformerError {
  return new LocalformerError(
    'ERR_CONFIG',
    `Expected a torch wheel or a LibTorch zip, but of ${file} ${reason}`,
    { cause },
  )
}

async function filesBelow(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return []
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map((entry) => path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)))
}

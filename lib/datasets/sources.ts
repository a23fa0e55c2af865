// Where official files come from: an archive or single files at an address, or a copy that the user
// has. What a source serves is checked: the download here, each file by fetch.ts.
import { copyFile, link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { type DownloadLimits, downloadFile, hashFile } from '../base/download.js'
import { LocalformerError } from '../base/errors.js'
import { MAX_NAMES_BYTES } from './data-files.js'
import {
  checksumError,
  type DatasetSource,
  type FetchProgress,
  isRightFile,
  type RecipeFile,
  type SourceContext,
} from './fetch.js'

/** What of an archive, or of a folder, is a data set. */
export interface ArchiveLayout {
  /** The folder's name in the official archive; the user may name it or its parent. */
  readonly folder: string
  /** Most bytes of a file of the archive, by its name in that folder; undefined: it is of no use. */
  mostBytes(name: string): number | undefined
  /** Puts the recipe's files into `target`, from the folder that holds them. */
  collect(folder: string, target: string, origin: string, context: SourceContext): Promise<void>
}

export interface Address {
  readonly url: string
  readonly md5: string
  readonly limits?: Partial<DownloadLimits> | undefined
}

export function report(
  context: SourceContext,
  phase: FetchProgress['phase'],
  unit: 'bytes' | 'files',
  done: number,
  total: number | undefined,
): void {
  context.onEvent({ type: 'progress', phase, unit, done, total })
}

/** A layout whose files are taken as they are; `optional` ones, names of classes, need not be there. */
export function plainLayout(
  title: string,
  folder: string,
  wanted: readonly RecipeFile[],
  optional: readonly string[] = [],
): ArchiveLayout {
  const files = wanted.map(({ name }) => name)
  return {
    folder,
    mostBytes: (name) =>
      optional.includes(name) ? MAX_NAMES_BYTES : wanted.find((file) => file.name === name)?.bytes,
    async collect(from, target, origin, context) {
      const there = new Set(await readdir(from))
      const missing = files.filter((name) => !there.has(name))
      if (missing.length > 0) throw notThere(title, origin, files, missing)
      await takeFiles(
        [...files, ...optional].filter((name) => there.has(name)),
        from,
        target,
        context,
      )
    },
  }
}

function notThere(
  title: string,
  origin: string,
  files: readonly string[],
  missing: readonly string[],
): LocalformerError {
  const all = missing.length === files.length
  const problem = all ? `expected ${files.join(', ')}` : `missing ${missing.join(', ')}`
  return new LocalformerError(
    'ERR_DATASET',
    `${all ? 'No' : 'No whole'} ${title} in ${origin}: ${problem}`,
    { details: { missing } },
  )
}

/** Moves files that were unpacked for this fetch and copies the user's own. */
export async function takeFiles(
  names: readonly string[],
  from: string,
  target: string,
  context: SourceContext,
): Promise<void> {
  const isOwn = from.startsWith(`${context.work}${path.sep}`)
  for (const name of names) {
    const [source, place] = [path.join(from, name), path.join(target, name)]
    await (isOwn ? rename(source, place) : copyFile(source, place))
    context.signal?.throwIfAborted()
  }
}

/** The official archive. */
export function archiveSource(layout: ArchiveLayout, address: Address): DatasetSource {
  const name = 'official.tar.gz'
  return {
    name: 'official',
    description: address.url,
    resumable: name,
    async fill(target, context) {
      const archive = path.join(context.work, name)
      await downloadChecked(address, archive, context, (done, total) =>
        report(context, 'download', 'bytes', done, total),
      )
      const unpacked = await unpack(archive, layout, context)
      // Checked and unpacked: nothing to resume any more, and the space is wanted.
      await rm(archive)
      await layout.collect(unpacked, target, address.url, context)
    },
  }
}

/**
 * Official files that each have an address: `base` and the file's name. One that lies whole in the
 * cache, in the data set's own folder or one of `folders`, is not fetched again.
 */
export function filesSource(
  base: string,
  files: readonly (RecipeFile & { readonly md5: string })[],
  folders: readonly string[],
  limits?: Partial<DownloadLimits>,
): DatasetSource {
  const folder = 'downloads'
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  return {
    name: 'official',
    description: files.length === 1 ? `${base}${files[0]?.name}` : base,
    resumable: folder,
    async fill(target, context) {
      const downloads = path.join(context.work, folder)
      await mkdir(downloads, { recursive: true })
      let before = 0
      for (const file of files) {
        const place = path.join(downloads, file.name)
        const address = { url: `${base}${file.name}`, md5: file.md5, limits }
        const isThere =
          (await isRightFile(place, file, context.signal)) ||
          (await linkRightFile(file, folders, context, place))
        if (!isThere) {
          const offset = before
          await downloadChecked(address, place, context, (done) =>
            report(context, 'download', 'bytes', offset + done, total),
          )
        }
        before += file.bytes
        report(context, 'download', 'bytes', before, total)
      }
      await takeFiles(
        files.map(({ name }) => name),
        downloads,
        target,
        context,
      )
    },
  }
}

async function linkRightFile(
  file: RecipeFile,
  folders: readonly string[],
  { directory, signal }: SourceContext,
  place: string,
): Promise<boolean> {
  const cache = path.dirname(directory)
  for (const folder of [directory, ...folders.map((name) => path.join(cache, name))]) {
    const present = path.join(folder, file.name)
    if (!(await isRightFile(present, file, signal))) continue
    await rm(place, { force: true })
    await link(present, place).catch(() => copyFile(present, place))
    return true
  }
  return false
}

/** A copy that the user has: an archive, the folder that it unpacks to, or that one's parent. */
export function localSource(layout: ArchiveLayout, from: string): DatasetSource {
  return {
    name: 'local',
    description: from,
    async fill(target, context) {
      const entry = await stat(from).catch((cause: Error) => {
        throw new LocalformerError('ERR_DATASET', `Cannot read ${from}: ${cause.message}`, {
          cause,
        })
      })
      const folder = entry.isDirectory() ? from : await unpack(from, layout, context)
      const inner = path.join(folder, layout.folder)
      const isParent = await stat(inner).catch(() => undefined)
      await layout.collect(isParent ? inner : folder, target, from, context)
    },
  }
}

/**
 * Downloads a file and checks its md5. One that does not fit is removed.
 *
 * @throws {LocalformerError} `ERR_CHECKSUM`, and what `downloadFile` throws.
 */
async function downloadChecked(
  { url, md5, limits }: Address,
  file: string,
  context: SourceContext,
  onBytes: (done: number, total: number | undefined) => void,
): Promise<void> {
  const { signal } = context
  const download = () => downloadFile(url, file, { limits, signal, onBytes })
  let { resumedBytes } = await download()
  let found = await hashFile(file, 'md5', signal)
  if (found !== md5 && resumedBytes > 0) {
    // The beginning was of another file, or spoilt: once more from the start.
    await rm(file)
    resumedBytes = (await download()).resumedBytes
    found = await hashFile(file, 'md5', signal)
  }
  if (found === md5) return
  await rm(file)
  throw checksumError(url, 'md5', found, md5)
}

/**
 * Streams an archive and keeps of it the files that are wanted, without their top folder.
 *
 * @throws {LocalformerError} `ERR_DATASET` for a file that is no whole tar archive, or in which a file
 *   is larger than it can be or stands twice.
 */
export async function unpack(
  archive: string,
  layout: ArchiveLayout,
  context: SourceContext,
): Promise<string> {
  const folder = path.join(context.work, 'unpacked')
  await mkdir(folder)
  const names = new Set<string>()
  let problem: string | undefined
  report(context, 'unpack', 'files', 0, undefined)
  // Loaded where it is used: only a fetch needs it.
  const { extract } = await import('tar')
  await extract({
    file: archive,
    cwd: folder,
    strip: 1,
    strict: true,
    filter: (name, entry) => {
      const [top, ...inner] = name.split('/')
      const file = inner[0] ?? ''
      const most = inner.length === 1 && top !== '..' ? layout.mostBytes(file) : undefined
      // Links and the like have no business in these archives.
      if (!('type' in entry) || entry.type !== 'File' || most === undefined) return false
      if (entry.size > most) problem ??= `${file} has ${entry.size} bytes in it, at most ${most}`
      if (names.has(file)) problem ??= `${file} stands in it twice`
      names.add(file)
      // Nothing more is written once something is wrong, or nobody waits for it.
      if (problem !== undefined || context.signal?.aborted) return false
      report(context, 'unpack', 'files', names.size, undefined)
      return true
    },
  }).catch((cause: NodeJS.ErrnoException) => {
    // The disk's errors are not the archive's.
    if (cause.syscall) throw cause
    throw new LocalformerError('ERR_DATASET', `Cannot unpack ${archive}: ${cause.message}`, {
      cause,
    })
  })
  context.signal?.throwIfAborted()
  if (problem === undefined) return folder
  throw new LocalformerError('ERR_DATASET', `Cannot unpack ${archive}: ${problem}`)
}

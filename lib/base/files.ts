// Files and folders that a user names: is one there, opening what is a file, mkdir -p, and writing whole
// or not at all.
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'

/** Whether a file or folder is there, as far as this process may see. */
export async function isThere(place: string): Promise<boolean> {
  return stat(place).then(
    () => true,
    () => false,
  )
}

/**
 * Opens a file to read. A pipe that nobody writes to would wait for ever, a device may have no end: what
 * is no regular file is refused. It is asked of what was opened, so that no other can be put in its
 * place meanwhile.
 */
export async function openFile(file: string): Promise<FileHandle> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const info = await handle.stat()
    if (info.isFile()) return handle
    throw new Error(info.isDirectory() ? 'it is a folder' : 'it is no file')
  } catch (cause) {
    await handle.close()
    throw cause
  }
}

/** The bytes of a regular file. */
export async function readBytes(file: string): Promise<Buffer> {
  const handle = await openFile(file)
  try {
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}

/**
 * Makes a folder and those above it; one that is there already is fine. Node's own recursive mkdir
 * never ends where a folder cannot be made and the system calls that "no such file" (in /proc).
 */
export async function makeFolder(directory: string): Promise<void> {
  const missing: string[] = []
  let folder = path.resolve(directory)
  while (!(await isThere(folder))) {
    missing.push(folder)
    folder = path.dirname(folder)
  }
  for (const place of missing.reverse()) await makeOne(place)
  // A file of that name.
  if (missing.length === 0 && !(await stat(folder)).isDirectory()) await mkdir(folder)
}

async function makeOne(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (error) {
    // Another process may have been faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** Writes a file whole or not at all. */
export async function writeFileAtomically(
  file: string,
  content: string | Uint8Array,
): Promise<void> {
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    await writeFile(temporary, content, { flush: true })
    await rename(temporary, file)
  } catch (error) {
    // A name that cannot be written cannot be removed either.
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
}

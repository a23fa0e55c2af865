// mkdir -p for folders that a user names. Node's own recursive mkdir never ends where a folder cannot
// be made and the system calls that "no such file" (anywhere in /proc).
import { mkdir, stat } from 'node:fs/promises'
import path from 'node:path'

/** Makes a folder and those above it; one that is there already is fine. */
export async function makeFolder(directory: string): Promise<void> {
  const missing: string[] = []
  let folder = path.resolve(directory)
  while (!(await isThere(folder))) {
    missing.push(folder)
    folder = path.dirname(folder)
  }
  for (const place of missing.reverse()) await makeOne(place)
  // A file of that name, or one above it.
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

async function isThere(place: string): Promise<boolean> {
  try {
    await stat(place)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return false
    throw error
  }
}

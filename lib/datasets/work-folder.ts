// Folders in which something is made before it is renamed into place. The name says which process
// owns one, so that what a killed process left behind is found and removed by the next.
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import process from 'node:process'

/** A process on another machine cannot be asked whether it lives: its folder is kept this long. */
const FOREIGN_FOLDER_MS = 24 * 3600 * 1000

/** Creates `root` and in it an empty folder named after `purpose` (without dots) and this process. */
export async function createWorkFolder(root: string, purpose: string): Promise<string> {
  const random = randomBytes(4).toString('hex')
  const folder = path.join(root, `.work.${purpose}.${process.pid}.${random}.${hostLabel()}`)
  await mkdir(root, { recursive: true })
  await mkdir(folder)
  return folder
}

/** Work folders for `purpose` in `root` whose process is gone. */
export async function abandonedWorkFolders(root: string, purpose: string): Promise<string[]> {
  const abandoned: string[] = []
  for (const name of await readdir(root).catch(() => [])) {
    const match = /^\.work\.([^.]+)\.(\d+)\.[0-9a-f]+\.([^.]*)$/.exec(name)
    if (match?.[1] !== purpose) continue
    const folder = path.join(root, name)
    if (await isAbandoned(folder, Number(match[2]), match[3] as string)) abandoned.push(folder)
  }
  return abandoned
}

async function isAbandoned(folder: string, pid: number, host: string): Promise<boolean> {
  const entry = await stat(folder).catch(() => undefined)
  if (!entry) return false
  if (Date.now() - entry.mtimeMs > FOREIGN_FOLDER_MS) return true
  if (host !== hostLabel()) return false
  // In a container the next process often gets the same number: go by which was there first.
  if (pid === process.pid) return entry.mtimeMs < Date.now() - process.uptime() * 1000
  return !isRunning(pid)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it runs, as somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function hostLabel(): string {
  return hostname().replace(/[^A-Za-z0-9-]/g, '_')
}

/** Removes a folder; what cannot be removed now is left to the next process. */
export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 2 }).catch(() => {})
}

/** Renames; false where `from` does not exist. */
export async function moveIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

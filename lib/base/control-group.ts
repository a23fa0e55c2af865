// What the control groups of this process (Linux cgroups, versions 1 and 2) allow, as their files say.
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'

/** A file of this process's control group of version 2; undefined where there is none. */
export function readGroup(file: string, root = '/'): string | undefined {
  return filesOf('', path.join(root, 'sys/fs/cgroup'), file, root)[0]
}

/**
 * Cores that this process may keep busy, at least 1: by its affinity and, rounded up, by the shares of time
 * that its control groups have. (Node counts its own group's share itself from libuv 1.49 on, rounded down.)
 *
 * @param root Stands before every path, for tests.
 */
export function coresAllowed(root = '/', cores = availableParallelism()): number {
  const quotas = [...quotasOfVersion2(root), ...quotasOfVersion1(root)]
  const shares = quotas
    .filter(({ quota, period }) => quota > 0 && period > 0)
    .map(({ quota, period }) => Math.ceil(quota / period))
  return Math.max(1, Math.min(cores, ...shares))
}

/** Microseconds of time on any core that a group has in each period; NaN or negative: no limit. */
interface Quota {
  readonly quota: number
  readonly period: number
}

function quotasOfVersion2(root: string): Quota[] {
  return filesOf('', path.join(root, 'sys/fs/cgroup'), 'cpu.max', root).map((text) => {
    const [quota = Number.NaN, period = Number.NaN] = text.split(' ').map(Number)
    return { quota, period }
  })
}

function quotasOfVersion1(root: string): Quota[] {
  const mount = path.join(root, 'sys/fs/cgroup/cpu')
  const quotas = filesOf('cpu', mount, 'cpu.cfs_quota_us', root).map(Number)
  const periods = filesOf('cpu', mount, 'cpu.cfs_period_us', root).map(Number)
  return quotas.map((quota, level) => ({ quota, period: periods[level] ?? Number.NaN }))
}

/**
 * A file of the process's group and of those above it, the innermost first; a group that is not seen, as in a
 * container, is left out. `controller` '': the hierarchy of version 2.
 */
function filesOf(controller: string, mount: string, file: string, root: string): string[] {
  const lines = (readText(path.join(root, 'proc/self/cgroup')) ?? '').split('\n')
  const own = lines
    .map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line))
    .find((match) => match?.[1]?.split(',').includes(controller))
  const names = (own?.[2] ?? '/').split('/').filter(Boolean)
  const groups = names.map((_, level) => path.join(mount, ...names.slice(0, names.length - level)))
  return [...groups, mount]
    .map((group) => readText(path.join(group, file)))
    .filter((text) => text !== undefined)
}

/** A file of the system without the space around it; undefined where it cannot be read. */
export function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}

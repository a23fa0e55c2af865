// Control groups of this machine, for tests that run a process in one. Needs the right to make them.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

export interface Limit {
  readonly controller: 'cpu' | 'memory'
  /** A file of the group and what is written there, by the version of the hierarchy. */
  readonly v1: readonly [file: string, text: string]
  readonly v2: readonly [file: string, text: string]
}

export interface Group {
  readonly folder: string
  remove(): void
}

/** A group below this process's own with that limit, or why there is none. */
export function makeGroup({ controller, v1, v2 }: Limit): Group | string {
  try {
    const groups = readFileSync('/proc/self/cgroup', 'utf8')
      .split('\n')
      .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
    const of = (name: string) => groups.find((match) => match?.[1]?.split(',').includes(name))?.[2]
    const own = of(controller)
    const [parent, [file, text]] =
      own === undefined
        ? [path.join('/sys/fs/cgroup', of('') ?? '/'), v2]
        : [path.join('/sys/fs/cgroup', controller, own), v1]
    const folder = path.join(parent, `localformer-test-${controller}-${process.pid}`)
    mkdirSync(folder)
    try {
      writeFileSync(path.join(folder, file), text)
    } catch (error) {
      rmdirSync(folder)
      throw error
    }
    return { folder, remove: () => rmdirSync(folder) }
  } catch (error) {
    return `no control group can be made: ${(error as Error).message}`
  }
}

// What the machine has, as it says itself: C library, tools of a build, memory that this process may use.
import { spawnSync } from 'node:child_process'
import { freemem, totalmem } from 'node:os'
import { readGroup, readText } from '../base/control-group.js'

/** Undefined where the C library is another one. */
export function glibcVersion(): string | undefined {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return report.header?.glibcVersionRuntime
}

const CPP17 = '#include <optional>\nint main() { return std::optional<int>().has_value(); }\n'

export function compilesCpp17(compiler: string): boolean {
  const options = ['-std=c++17', '-fsyntax-only', '-x', 'c++', '-']
  return spawnSync(compiler, options, { input: CPP17, timeout: 30_000 }).status === 0
}

/** The first dotted number that `COMMAND --version` prints; undefined where it does not run. */
export function versionOf(command: string): string | undefined {
  const { status, stdout } = spawnSync(command, ['--version'], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  return status === 0 ? (/\d+(?:\.\d+)+/.exec(stdout)?.[0] ?? 'of unknown version') : undefined
}

export interface Memory {
  readonly totalBytes: number
  readonly availableBytes: number
  /** Of the control group; undefined where there is none. */
  readonly limitBytes?: number | undefined
}

/** What the machine and the control group leave to this process. */
export function readMemory(): Memory {
  const totalBytes = totalmem()
  const meminfo = readText('/proc/meminfo') ?? ''
  const kibibytes = /^MemAvailable:\s+(\d+) kB/m.exec(meminfo)?.[1]
  const free = kibibytes === undefined ? freemem() : Number(kibibytes) * 1024
  const limitBytes = process.constrainedMemory()
  // Without a limit Node gives 0, or a number beyond the machine's memory.
  if (!limitBytes || limitBytes >= totalBytes) return { totalBytes, availableBytes: free }
  // Pages of files that were read count as used, and are given up when memory is asked for.
  const used = Number(readGroup('memory.current') ?? 0)
  const reclaimable = Number(/^inactive_file (\d+)/m.exec(readGroup('memory.stat') ?? '')?.[1] ?? 0)
  const left = Math.max(0, limitBytes - used + reclaimable)
  return { totalBytes, availableBytes: Math.min(free, left), limitBytes }
}

// Memory that the machine and the control group leave to this process.
import { freemem, totalmem } from 'node:os'
import { readGroup, readText } from './control-group.js'

export interface Memory {
  readonly totalBytes: number
  /** Without swap. */
  readonly availableBytes: number
  readonly freeSwapBytes: number
  /** Of the control group; undefined where there is none. */
  readonly limitBytes?: number | undefined
}

/** What the machine and the control group leave to this process. */
export function readMemory(): Memory {
  const totalBytes = totalmem()
  const meminfo = readText('/proc/meminfo') ?? ''
  const freeSwapBytes = kibibytesOf(meminfo, 'SwapFree') ?? 0
  const free = kibibytesOf(meminfo, 'MemAvailable') ?? freemem()
  const limitBytes = process.constrainedMemory()
  // Without a limit Node gives 0, or a number beyond the machine's memory.
  if (!limitBytes || limitBytes >= totalBytes) {
    return { totalBytes, availableBytes: free, freeSwapBytes }
  }
  // In version 1 of control groups nothing is known of what is used.
  const used = Number(readGroup('memory.current') ?? 0)
  const left = Math.max(0, limitBytes - used + reclaimableOf(readGroup('memory.stat') ?? ''))
  return { totalBytes, availableBytes: Math.min(free, left), freeSwapBytes, limitBytes }
}

/** Pages of files that were read count as used, and are given up when memory is asked for; of a `memory.stat`. */
export function reclaimableOf(stat: string): number {
  const counts = stat.matchAll(/^(?:inactive_file|active_file|slab_reclaimable) (\d+)$/gm)
  return [...counts].reduce((sum, [, bytes]) => sum + Number(bytes), 0)
}

function kibibytesOf(meminfo: string, name: string): number | undefined {
  const count = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1]
  return count === undefined ? undefined : Number(count) * 1024
}

// Memory that the machine and the control group leave to this process.
import { freemem, totalmem } from 'node:os'
import { readGroup, readText } from './control-group.js'

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

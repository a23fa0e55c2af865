// Reads, without loading anything, for which machine a shared library is, which libraries it needs
// (DT_NEEDED) and where it says to look for them (DT_RPATH, DT_RUNPATH). ELF-64 little-endian only: System V ABI, chapters 4 and 5.
import { closeSync, openSync, readSync } from 'node:fs'

export interface SharedLibrary {
  /** `e_machine`; 62 is x86-64, 183 is AArch64. */
  readonly machine: number
  /** File names of the libraries it needs, in the order of the dynamic section. */
  readonly needed: readonly string[]
  /** Folders to look for them in, as written there: `$ORIGIN` is the library's own folder. */
  readonly searchPath: readonly string[]
}

export const X86_64 = 62

const PT_LOAD = 1
const PT_DYNAMIC = 2
const DT_NEEDED = 1n
const DT_STRTAB = 5n
const DT_STRSZ = 10n
const DT_RPATH = 15n
const DT_RUNPATH = 29n

/** Undefined when the file is no 64-bit little-endian ELF file or ends too early. */
export function readSharedLibrary(file: string): SharedLibrary | undefined {
  const descriptor = openSync(file, 'r')
  try {
    return parse((offset, length) => {
      const buffer = Buffer.alloc(length)
      if (readSync(descriptor, buffer, 0, length, offset) !== length) throw new RangeError('short')
      return buffer
    })
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  } finally {
    closeSync(descriptor)
  }
}

type Read = (offset: number, length: number) => Buffer

function parse(read: Read): SharedLibrary | undefined {
  const header = read(0, 64)
  const isElf64 = header.readUInt32BE(0) === 0x7f454c46 && header[4] === 2 && header[5] === 1
  if (!isElf64) return undefined
  const machine = header.readUInt16LE(18)
  const segments = readSegments(read, header)
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC)
  if (!dynamic) return { machine, needed: [], searchPath: [] }

  const needed: number[] = []
  const paths: number[] = []
  let stringsAddress = 0
  let stringsSize = 0
  const entries = read(dynamic.offset, dynamic.size)
  for (let at = 0; at + 16 <= entries.length; at += 16) {
    const tag = entries.readBigInt64LE(at)
    const value = Number(entries.readBigUInt64LE(at + 8))
    if (tag === DT_NEEDED) needed.push(value)
    else if (tag === DT_RPATH || tag === DT_RUNPATH) paths.push(value)
    else if (tag === DT_STRTAB) stringsAddress = value
    else if (tag === DT_STRSZ) stringsSize = value
  }
  // DT_STRTAB is an address in memory; the PT_LOAD segment that holds it gives the place in the file.
  const holder = segments.find(
    ({ type, address, size }) =>
      type === PT_LOAD && stringsAddress >= address && stringsAddress < address + size,
  )
  if (!holder) return { machine, needed: [], searchPath: [] }
  const strings = read(holder.offset + stringsAddress - holder.address, stringsSize)
  const textAt = (at: number) => strings.toString('utf8', at, strings.indexOf(0, at))
  return {
    machine,
    needed: needed.map(textAt),
    searchPath: paths.flatMap((at) => textAt(at).split(':').filter(Boolean)),
  }
}

function readSegments(read: Read, header: Buffer) {
  const offset = Number(header.readBigUInt64LE(32))
  const entrySize = header.readUInt16LE(54)
  const count = header.readUInt16LE(56)
  const table = read(offset, entrySize * count)
  return Array.from({ length: count }, (_, index) => {
    const at = index * entrySize
    return {
      type: table.readUInt32LE(at),
      offset: Number(table.readBigUInt64LE(at + 8)),
      address: Number(table.readBigUInt64LE(at + 16)),
      size: Number(table.readBigUInt64LE(at + 32)),
    }
  })
}

// The dynamic symbols of a shared library with their versions, read from its section headers.
// ELF-64 little-endian: System V ABI, chapter 4, and "Symbol Versioning" of the Linux Standard Base.
import { closeSync, openSync, readSync } from 'node:fs'

export interface DynamicSymbol {
  readonly name: string
  /** Of an undefined symbol that of the library that it is wanted from; undefined: none. */
  readonly version: string | undefined
  /** Of an undefined symbol with a version: soname of the library that it is wanted from. */
  readonly library: string | undefined
  readonly isDefined: boolean
  readonly isWeak: boolean
  readonly isFunction: boolean
}

const SHT_DYNSYM = 11
const SHT_GNU_VERDEF = 0x6ffffffd
const SHT_GNU_VERNEED = 0x6ffffffe
const SHT_GNU_VERSYM = 0x6fffffff

interface Section {
  readonly type: number
  /** Index of the section with its strings. */
  readonly link: number
  readonly data: () => Buffer
}

export function dynamicSymbols(file: string): DynamicSymbol[] {
  const descriptor = openSync(file, 'r')
  try {
    const sections = readSections(descriptor)
    const of = (type: number) => sections.find((section) => section.type === type)
    const table = of(SHT_DYNSYM)
    if (table === undefined) throw new Error(`${file} has no dynamic symbols`)
    const text = textOf(sections, table)
    const versions = versionsOf(sections, of(SHT_GNU_VERDEF), of(SHT_GNU_VERNEED))
    const indices = of(SHT_GNU_VERSYM)?.data()
    const data = table.data()
    // Symbols have 24 bytes; the first one is none.
    return Array.from({ length: data.length / 24 - 1 }, (_, i) => {
      const at = 24 * (i + 1)
      const info = data.readUInt8(at + 4)
      const version = versions.get((indices?.readUInt16LE(2 * (i + 1)) ?? 1) & 0x7fff)
      return {
        name: text(data.readUInt32LE(at)),
        version: version?.name,
        library: version?.library,
        isDefined: data.readUInt16LE(at + 6) !== 0,
        isWeak: info >> 4 === 2,
        isFunction: (info & 15) === 2,
      }
    })
  } finally {
    closeSync(descriptor)
  }
}

function readSections(descriptor: number): Section[] {
  const read = (offset: number, length: number) => {
    const buffer = Buffer.alloc(length)
    readSync(descriptor, buffer, 0, length, offset)
    return buffer
  }
  const header = read(0, 64)
  const [offset, size, count] = [
    Number(header.readBigUInt64LE(40)),
    header.readUInt16LE(58),
    header.readUInt16LE(60),
  ]
  const table = read(offset, size * count)
  return Array.from({ length: count }, (_, i) => {
    const at = i * size
    const [place, length] = [table.readBigUInt64LE(at + 24), table.readBigUInt64LE(at + 32)]
    return {
      type: table.readUInt32LE(at + 4),
      link: table.readUInt32LE(at + 40),
      data: () => read(Number(place), Number(length)),
    }
  })
}

function textOf(sections: readonly Section[], { link }: Section): (at: number) => string {
  const strings = sections[link]?.data() ?? Buffer.alloc(1)
  return (at) => strings.toString('latin1', at, strings.indexOf(0, at))
}

type Versions = Map<number, { readonly name: string; readonly library: string | undefined }>

/** Versions by the index that the symbols name them by. */
function versionsOf(
  sections: readonly Section[],
  defined: Section | undefined,
  needed: Section | undefined,
): Versions {
  const versions: Versions = new Map()
  if (defined !== undefined) {
    const [data, text] = [defined.data(), textOf(sections, defined)]
    for (let at = 0; ; at += data.readUInt32LE(at + 16)) {
      const name = text(data.readUInt32LE(at + data.readUInt32LE(at + 12)))
      // The first one is the library itself (VER_FLG_BASE).
      if ((data.readUInt16LE(at + 2) & 1) === 0) {
        versions.set(data.readUInt16LE(at + 4), { name, library: undefined })
      }
      if (data.readUInt32LE(at + 16) === 0) break
    }
  }
  if (needed !== undefined) {
    const [data, text] = [needed.data(), textOf(sections, needed)]
    for (let at = 0; ; at += data.readUInt32LE(at + 12)) {
      const library = text(data.readUInt32LE(at + 4))
      for (let one = at + data.readUInt32LE(at + 8); ; one += data.readUInt32LE(one + 12)) {
        const name = text(data.readUInt32LE(one + 8))
        versions.set(data.readUInt16LE(one + 6), { name, library })
        if (data.readUInt32LE(one + 12) === 0) break
      }
      if (data.readUInt32LE(at + 12) === 0) break
    }
  }
  return versions
}

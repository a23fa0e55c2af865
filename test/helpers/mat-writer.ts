// Writes MATLAB version 5 files, right or wrong on purpose, in both byte orders.
import { deflateSync } from 'node:zlib'

export interface MatArray {
  readonly name: string
  readonly dimensions: readonly number[]
  /** Number of the class: 6 double, 9 uint8, ... */
  readonly matClass: number
  /** Element type of the data: 2 uint8, 9 double, ... */
  readonly storage: number
  /** In the byte order of the file. */
  readonly data: Uint8Array
  /** Into the flags, e.g. 0x0800 for complex. */
  readonly flags?: number
  /** What the data's tag claims; default: its length. */
  readonly claimed?: number
}

/** A writer of one byte order. */
export class MatWriter {
  readonly #little: boolean

  constructor(littleEndian = true) {
    this.#little = littleEndian
  }

  file(...elements: readonly Uint8Array[]): Buffer {
    const header = Buffer.alloc(128, ' ')
    header.write('MATLAB 5.0 MAT-file, made by a test')
    header.fill(0, 116, 124)
    this.#put(header, 124, 2, 0x0100)
    header.write(this.#little ? 'IM' : 'MI', 126)
    return Buffer.concat([header, ...elements])
  }

  /** An element with its tag, padded to a multiple of 8 bytes; `claimed` is what the tag says. */
  element(type: number, data: Uint8Array, claimed = data.length): Buffer {
    const padded = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8)
    this.#put(padded, 0, 4, type)
    this.#put(padded, 4, 4, claimed)
    padded.set(data, 8)
    return padded
  }

  /** An element of at most 4 bytes, packed into its tag. */
  small(type: number, data: Uint8Array): Buffer {
    const tag = Buffer.alloc(8)
    // The size is in the upper half of the first word, whatever the byte order.
    this.#put(tag, 0, 4, data.length * 65_536 + type)
    tag.set(data, 4)
    return tag
  }

  words(...values: readonly number[]): Buffer {
    const bytes = Buffer.alloc(4 * values.length)
    for (const [place, value] of values.entries()) this.#put(bytes, 4 * place, 4, value)
    return bytes
  }

  doubles(...values: readonly number[]): Buffer {
    const bytes = Buffer.alloc(8 * values.length)
    values.forEach((value, place) => {
      if (this.#little) bytes.writeDoubleLE(value, 8 * place)
      else bytes.writeDoubleBE(value, 8 * place)
    })
    return bytes
  }

  /** The parts of an array, without its own tag. */
  parts({ name, dimensions, matClass, storage, data, flags = 0, claimed }: MatArray): Buffer {
    const text = Buffer.from(name)
    return Buffer.concat([
      this.element(6, this.words(matClass | flags, 0)),
      this.element(5, this.words(...dimensions.map((side) => side >>> 0))),
      text.length <= 4 ? this.small(1, text) : this.element(1, text),
      claimed === undefined && data.length <= 4
        ? this.small(storage, data)
        : this.element(storage, data, claimed),
    ])
  }

  array(array: MatArray): Buffer {
    return this.element(14, this.parts(array))
  }

  /** Any element, compressed. */
  compressed(element: Uint8Array): Buffer {
    const packed = deflateSync(element)
    // The only kind of element that is not padded.
    return this.element(15, packed).subarray(0, 8 + packed.length)
  }

  #put(bytes: Buffer, place: number, width: 2 | 4, value: number): void {
    if (this.#little) bytes.writeUIntLE(value >>> 0, place, width)
    else bytes.writeUIntBE(value >>> 0, place, width)
  }
}

// Pickles of plain values: dictionaries with names as keys, lists, tuples, text, numbers, true, false, None.
// in: bytes, of protocol 2 to 5 -> out: objects, arrays, strings, numbers, booleans, null
// What a pickle could make besides, by calling functions that it names, is refused: nothing is run.

/** What {@link readPickle} gives; the same object may stand in several places. */
export type Plain = string | number | boolean | null | Plain[] | PlainObject
export interface PlainObject {
  [key: string]: Plain
}

/** What is wrong with a pickle, and where. */
export class PickleError extends Error {
  constructor(message: string, offset: number) {
    super(`${message} at byte ${offset}`)
    this.name = 'PickleError'
  }
}

const OP = {
  mark: 0x28,
  emptyTuple: 0x29,
  stop: 0x2e,
  binFloat: 0x47,
  binInt: 0x4a,
  binInt1: 0x4b,
  binInt2: 0x4d,
  none: 0x4e,
  binUnicode: 0x58,
  emptyList: 0x5d,
  append: 0x61,
  appends: 0x65,
  binGet: 0x68,
  longBinGet: 0x6a,
  binPut: 0x71,
  longBinPut: 0x72,
  setItem: 0x73,
  tuple: 0x74,
  setItems: 0x75,
  emptyDict: 0x7d,
  protocol: 0x80,
  tuple1: 0x85,
  tuple2: 0x86,
  tuple3: 0x87,
  true: 0x88,
  false: 0x89,
  long1: 0x8a,
  long4: 0x8b,
  shortBinUnicode: 0x8c,
  binUnicode8: 0x8d,
  memoize: 0x94,
  frame: 0x95,
} as const

/** Whole numbers of more bytes are no sizes, addresses or times. */
const MAX_INTEGER_BYTES = 9

/**
 * The value of a pickle. Works through each byte once; what is made takes memory in proportion.
 *
 * @throws {PickleError} for what is cut, damaged, or no plain value.
 */
export function readPickle(bytes: Uint8Array): Plain {
  return new Reader(bytes).read()
}

class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #text = new TextDecoder('utf-8', { fatal: true })
  readonly #memo = new Map<number, Plain>()
  readonly #stack: Plain[] = []
  /** Heights of the stack. */
  readonly #marks: number[] = []
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  read(): Plain {
    if (this.#bytes[0] !== OP.protocol) throw this.#error('it does not begin as a pickle')
    for (;;) {
      const op = this.#view.getUint8(this.#take(1))
      if (op === OP.stop) return this.#end()
      const value = this.#valueOf(op)
      if (value !== undefined) this.#stack.push(value)
      else if (!this.#changes(op)) {
        this.#at -= 1
        throw this.#error(`an instruction that makes no plain value (0x${op.toString(16)})`)
      }
    }
  }

  /** What an instruction puts on the stack; undefined where it does something else. */
  #valueOf(op: number): Plain | undefined {
    const view = this.#view
    switch (op) {
      case OP.none:
        return null
      case OP.true:
        return true
      case OP.false:
        return false
      case OP.binInt:
        return view.getInt32(this.#take(4), true)
      case OP.binInt1:
        return view.getUint8(this.#take(1))
      case OP.binInt2:
        return view.getUint16(this.#take(2), true)
      case OP.long1:
        return this.#integer(view.getUint8(this.#take(1)))
      case OP.long4:
        return this.#integer(view.getInt32(this.#take(4), true))
      case OP.binFloat:
        return view.getFloat64(this.#take(8), false)
      case OP.shortBinUnicode:
        return this.#string(view.getUint8(this.#take(1)))
      case OP.binUnicode:
        return this.#string(view.getUint32(this.#take(4), true))
      case OP.binUnicode8:
        return this.#string(Number(view.getBigUint64(this.#take(8), true)))
      case OP.emptyDict:
        return {}
      case OP.emptyList:
      case OP.emptyTuple:
        return []
      case OP.tuple:
        return this.#sinceMark()
      case OP.tuple1:
      case OP.tuple2:
      case OP.tuple3:
        return this.#last(op - OP.tuple1 + 1)
      case OP.binGet:
        return this.#kept(view.getUint8(this.#take(1)))
      case OP.longBinGet:
        return this.#kept(view.getUint32(this.#take(4), true))
    }
    return undefined
  }

  /** Does what changes the stack, or what is on it; false for an instruction that is not known. */
  #changes(op: number): boolean {
    const view = this.#view
    switch (op) {
      case OP.protocol:
        this.#checkProtocol(view.getUint8(this.#take(1)))
        return true
      case OP.frame:
        this.#take(8)
        return true
      case OP.mark:
        this.#marks.push(this.#stack.length)
        return true
      case OP.append:
        this.#append(this.#last(1))
        return true
      case OP.appends:
        this.#append(this.#sinceMark())
        return true
      case OP.setItem:
        this.#setItems(this.#last(2))
        return true
      case OP.setItems:
        this.#setItems(this.#sinceMark())
        return true
      case OP.binPut:
        this.#memo.set(view.getUint8(this.#take(1)), this.#top())
        return true
      case OP.longBinPut:
        this.#memo.set(view.getUint32(this.#take(4), true), this.#top())
        return true
      case OP.memoize:
        this.#memo.set(this.#memo.size, this.#top())
        return true
    }
    return false
  }

  #checkProtocol(version: number): void {
    if (version < 2 || version > 5) throw this.#error(`protocol ${version}`)
  }

  #end(): Plain {
    const [value] = this.#stack
    if (this.#stack.length !== 1 || value === undefined)
      throw this.#error('more or less than one value')
    return value
  }

  /** Where the next so many bytes begin. */
  #take(count: number): number {
    const at = this.#at
    // Not `at + count`, which may be beyond what a number counts.
    if (count > this.#bytes.length - at) throw this.#error('it ends in the midst')
    this.#at += count
    return at
  }

  #integer(count: number): number {
    if (count < 0 || count > MAX_INTEGER_BYTES) throw this.#error(`a number of ${count} bytes`)
    const at = this.#take(count)
    let value = 0n
    for (let k = count - 1; k >= 0; k--) {
      value = (value << 8n) | BigInt(this.#view.getUint8(at + k))
    }
    return Number(BigInt.asIntN(8 * count, value))
  }

  #string(length: number): string {
    const at = this.#take(length)
    try {
      return this.#text.decode(this.#bytes.subarray(at, at + length))
    } catch {
      throw this.#error('text that is no UTF-8')
    }
  }

  #sinceMark(): Plain[] {
    const height = this.#marks.pop()
    if (height === undefined || height > this.#stack.length) throw this.#error('no mark')
    return this.#stack.splice(height)
  }

  #last(count: number): Plain[] {
    const floor = this.#marks.at(-1) ?? 0
    if (this.#stack.length - floor < count) throw this.#error('too few values')
    return this.#stack.splice(-count)
  }

  #top(): Plain {
    const top = this.#stack.at(-1)
    if (top === undefined) throw this.#error('no value')
    return top
  }

  #append(items: readonly Plain[]): void {
    const list = this.#top()
    if (!Array.isArray(list)) throw this.#error('no list')
    // Not spread: there may be a million.
    for (const item of items) list.push(item)
  }

  #setItems(items: readonly Plain[]): void {
    const object = this.#top()
    if (typeof object !== 'object' || object === null || Array.isArray(object)) {
      throw this.#error('no dictionary')
    }
    if (items.length % 2 !== 0) throw this.#error('a key without a value')
    for (let k = 0; k < items.length; k += 2) {
      const key = items[k]
      if (typeof key !== 'string' || key === '__proto__') throw this.#error('a key that is no name')
      object[key] = items[k + 1] as Plain
    }
  }

  #kept(index: number): Plain {
    const value = this.#memo.get(index)
    if (value === undefined) throw this.#error(`nothing kept as ${index}`)
    return value
  }

  #error(message: string): PickleError {
    return new PickleError(message, this.#at)
  }
}

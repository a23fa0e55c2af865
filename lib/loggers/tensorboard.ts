// TensorBoard's event file: records in TFRecord's frame (length, masked CRC-32C of it, data, masked
// CRC-32C of that), each a protobuf `Event` (tensorflow/core/util/event.proto, framework/summary.proto)
// written by hand, since of both formats only scalars are needed.
import { TENSORBOARD_PREFIX } from '../base/run-files.js'
import type { RunEvent } from '../train/events.js'
import { figuresOf } from './figures.js'

export interface Scalar {
  /** The part before the slash groups the charts: `label_loss/module_1`. */
  readonly tag: string
  readonly value: number
}

/** Without the machine's name, which the original puts at the end. */
export function eventFileName(seconds: number): string {
  return `${TENSORBOARD_PREFIX}${Math.floor(seconds)}.localformer`
}

/** The record that every file begins with. */
export function versionRecord(wallTime: number): Uint8Array {
  return frame(eventMessage(wallTime, 0, bytesField(3, Buffer.from('brain.Event:2'))))
}

/** Scalars of a step as one record. `wallTime` in seconds since 1970. */
export function scalarsRecord(
  wallTime: number,
  step: number,
  scalars: readonly Scalar[],
): Uint8Array {
  const values = scalars.map(({ tag, value }) =>
    bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), floatField(2, value)])),
  )
  return frame(eventMessage(wallTime, step, bytesField(5, Buffer.concat(values))))
}

/** What an event of training shows; nothing for most. */
export function scalarsOf(event: RunEvent): Scalar[] {
  if (event.type === 'metrics') {
    return Object.entries(event.metrics).map(([tag, value]) => ({ tag, value }))
  }
  return figuresOf(event).map(({ metric: { name }, module, value }) => ({
    tag: module === undefined ? name : `${name}/module_${module + 1}`,
    value,
  }))
}

function eventMessage(wallTime: number, step: number, what: Buffer): Buffer {
  const time = Buffer.alloc(9)
  time[0] = (1 << 3) | 1
  time.writeDoubleLE(wallTime, 1)
  const at = step === 0 ? Buffer.alloc(0) : Buffer.from([2 << 3, ...varint(step)])
  return Buffer.concat([time, at, what])
}

function bytesField(number: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(content.length)]), content])
}

function floatField(number: number, value: number): Buffer {
  const field = Buffer.alloc(5)
  field[0] = (number << 3) | 5
  field.writeFloatLE(value, 1)
  return field
}

/** Whole numbers up to 2^53 - 1, seven bits a byte, the lowest first. */
function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return [...bytes, rest]
}

function frame(data: Buffer): Buffer {
  const record = Buffer.alloc(16 + data.length)
  record.writeBigUInt64LE(BigInt(data.length))
  record.writeUInt32LE(maskedCrc(record.subarray(0, 8)), 8)
  data.copy(record, 12)
  record.writeUInt32LE(maskedCrc(data), 12 + data.length)
  return record
}

/** TFRecord's mask, so that a checksum of data that holds checksums stays one. */
function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

const CASTAGNOLI = 0x82f63b78 // reflected

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI : crc >>> 1
  return crc
})

/** CRC-32C (RFC 3720, appendix B.4). */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of data) crc = (TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

// Checkpoints: what is written is read again; a file that is damaged is an error, never a crash.
import { mkdtempSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import { listCheckpoint, readCheckpoint, writeCheckpoint } from '../../../lib/weights/checkpoint.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-checkpoint-'))
const tensors = {
  'a.weight': { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e-30, Number.NaN) },
  'a.bias': { shape: [3], data: Float32Array.of(0.1, 0.2, 0.3) },
  scalar: { shape: [], data: Float32Array.of(7) },
}

async function refused(file: string, ...parts: readonly string[]): Promise<LocalformerError> {
  let error: unknown
  try {
    await readCheckpoint(file)
  } catch (thrown) {
    error = thrown
  }
  if (error === undefined) assert.unreachable(`${file} was read`)
  assert.instance(error, LocalformerError)
  assert.is((error as LocalformerError).code, 'ERR_CHECKPOINT')
  for (const part of parts) assert.match((error as Error).message, part)
  return error as LocalformerError
}

/** A file with this header and these bytes behind it. */
function writeRaw(file: string, header: string, data: Uint8Array): void {
  const json = Buffer.from(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  writeFileSync(file, Buffer.concat([length, json, data]))
}

async function sample(name: string): Promise<string> {
  const file = path.join(folder, name)
  await writeCheckpoint(file, { tensors, metadata: { note: 'x' } })
  return file
}

test('tensors and metadata come back bit for bit', async () => {
  const back = await readCheckpoint(await sample('whole.safetensors'))
  assert.equal(back.metadata, { note: 'x' })
  assert.equal(Object.keys(back.tensors), Object.keys(tensors))
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    assert.equal(back.tensors[name]?.shape, shape)
    assert.equal(
      Buffer.from(back.tensors[name]?.data.buffer as ArrayBuffer),
      Buffer.from(data.buffer as ArrayBuffer),
    )
  }
})

test('the layout is the format: length, JSON header, data at a multiple of 8', async () => {
  const bytes = readFileSync(await sample('layout.safetensors'))
  const length = Number(bytes.readBigUInt64LE(0))
  assert.is(length % 8, 0)
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString('utf8'))
  assert.equal(header['a.bias'], { dtype: 'F32', shape: [3], data_offsets: [24, 36] })
  assert.is(bytes.length, 8 + length + 40)
})

test('no temporary file stays', async () => {
  await sample('clean.safetensors')
  assert.equal(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  )
})

test('a truncated file is refused at every length', async () => {
  const file = await sample('cut.safetensors')
  const whole = readFileSync(file)
  for (let length = 0; length < whole.length; length += 7) {
    writeFileSync(file, whole)
    truncateSync(file, length)
    await refused(file)
  }
})

test('hostile headers are refused', async () => {
  const file = path.join(folder, 'hostile.safetensors')
  const write = (header: string) => writeRaw(file, header, Buffer.alloc(8))
  write('not json')
  await refused(file, 'header')
  write('[]')
  await refused(file)
  write('{"t":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}')
  await refused(file, 'tensor t is F8_E4M3', 'F32, F16, BF16, F64')
  write('{"t":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}}')
  await refused(file, 'offsets')
  write('{"t":{"dtype":"I64","shape":[2],"data_offsets":[0,8]}}')
  await refused(file, 'offsets')
  write('{"t":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}')
  await refused(file, 'truncated')
  write('{"t":{"dtype":"toString","shape":[2],"data_offsets":[0,4]}}')
  await refused(file, 'toString')
  write('{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}')
  await refused(file, 'offsets')
  write('{"t":{"dtype":"F32","shape":[1e15],"data_offsets":[0,4e15]}}')
  await refused(file)
  write('{"t":{"dtype":"F32","shape":[-1],"data_offsets":[4,0]}}')
  await refused(file)
  write('{"t":null}')
  await refused(file)
  writeFileSync(file, Buffer.alloc(16, 0xff))
  await refused(file, 'not a safetensors file')
})

test('tensors cover the data once, without holes, as the safetensors package demands', async () => {
  const file = path.join(folder, 'cover.safetensors')
  const entry = (at: number, values = 1) =>
    `{"dtype":"F32","shape":[${values}],"data_offsets":[${at},${at + 4 * values}]}`
  const refusedFor = async (header: string, dataBytes: number, ...parts: readonly string[]) => {
    writeRaw(file, header, Buffer.alloc(dataBytes))
    await refused(file, file, ...parts)
    await listCheckpoint(file).then(
      () => assert.unreachable(`${header} was listed`),
      (error) => assert.is(error.code, 'ERR_CHECKPOINT'),
    )
  }
  await refusedFor(`{"a":${entry(0)},"b":${entry(0)}}`, 4, 'b begins at byte 0', 'within tensor a')
  await refusedFor(`{"a":${entry(0, 2)},"b":${entry(4, 2)}}`, 12, 'within tensor a')
  await refusedFor(`{"a":${entry(0)},"b":${entry(8)}}`, 12, 'bytes 4 to 8', 'belong to no tensor')
  await refusedFor(`{"a":${entry(4)}}`, 8, 'bytes 0 to 4')
  await refusedFor(`{"a":${entry(0)}}`, 5, 'bytes 4 to 5')
  await refusedFor('{}', 1, 'bytes 0 to 1')
  await refusedFor(`{"a":${entry(0)},"a":${entry(0)}}`, 4, '"a" twice')
  await refusedFor(`{"a":${entry(0)},"\\u0061":${entry(0)}}`, 4, '"a" twice')
  await refusedFor(
    '{"a":{"dtype":"F64","dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    4,
    'twice',
  )
  await refusedFor('{"__metadata__":{"x":"1","x":"2"}}', 0, '"x" twice')
  await refusedFor('{"__metadata__":{"x":1}}', 0, 'metadata')
  await refusedFor('{"__metadata__":["x"]}', 0, 'metadata')
  await refusedFor(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`, 4, 'offsets')
  await refusedFor(`{"a":{"dtype":"F32","shape":[1e15,1e15,0],"data_offsets":[0,0]}}`, 0, 'offsets')
  await refusedFor(`{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`, 0)
  writeRaw(file, '{"a":"\xff"}', Buffer.alloc(0))
  writeFileSync(
    file,
    Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('7b22ff223a7d', 'hex')]),
  )
  await refused(file, 'UTF-8')
})

test('what the safetensors package takes is taken, in any order and with empty tensors', async () => {
  const file = path.join(folder, 'order.safetensors')
  const header =
    ' {"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"none":{"shape":[0,3],"dtype":"F32",' +
    '"data_offsets":[4,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":null} '
  const data = Buffer.alloc(8)
  data.writeFloatLE(1, 0)
  data.writeFloatLE(2, 4)
  writeRaw(file, header, data)
  const { tensors: read, metadata } = await readCheckpoint(file)
  assert.equal(Object.keys(read), ['b', 'none', 'a'])
  assert.equal([read.a?.data[0], read.b?.data[0], read.none?.data.length], [1, 2, 0])
  assert.equal(metadata, {})
})

test('more tensors than any network has are refused, and as many as are read take seconds', async () => {
  const file = path.join(folder, 'many.safetensors')
  const count = 100_000
  const names = Array.from({ length: count + 1 }, (_, k) => {
    return `"t${k}":{"dtype":"F32","shape":[1],"data_offsets":[${4 * k},${4 * k + 4}]}`
  })
  writeRaw(file, `{${names.join(',')}}`, Buffer.alloc(4 * count + 4, 1))
  await refused(file, '100001 tensors, at most 100000')
  writeRaw(file, `{${names.slice(0, count).join(',')}}`, Buffer.alloc(4 * count, 1))
  const began = performance.now()
  assert.is(Object.keys((await readCheckpoint(file)).tensors).length, count)
  assert.ok(performance.now() - began < 20_000, `${performance.now() - began} ms`)
})

test('a header of marks without end is refused before it is parsed, and a long name by its length', async () => {
  const file = path.join(folder, 'marks.safetensors')
  const refusedAtOnce = async (header: string, ...parts: readonly string[]) => {
    writeRaw(file, header, Buffer.alloc(0))
    const { cause } = await refused(file, ...parts)
    // What a parser would say of it: it is no JSON.
    assert.not.match((cause as Error).message, 'JSON')
  }
  await refusedAtOnce('{'.repeat(200_001), '200001 times {', 'of tensors at most 100000')
  await refusedAtOnce('['.repeat(400_001), '400001 times [')
  await refusedAtOnce('"'.repeat(4_000_001), '4000001 times "')
  await refusedAtOnce(','.repeat(4_000_001), '4000001 times ,')
  await refusedAtOnce(`{"${'\\"'.repeat(20_000_000)}`, '20000001 times "')
  const named = (name: string) => `{"${name}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`
  writeRaw(file, named('n'.repeat(4096)), Buffer.alloc(0))
  assert.is(Object.keys((await readCheckpoint(file)).tensors).length, 1)
  await refusedAtOnce(named('n'.repeat(4097)), '4097 characters, at most 4096')
  await refusedAtOnce(`{"__metadata__":{"${'n'.repeat(4097)}":""}}`, '4097 characters')
  const sides = Array.from({ length: 65 }, () => 1)
  await refusedAtOnce(
    `{"a":{"dtype":"F32","shape":[${sides}],"data_offsets":[0,4]}}`,
    'tensor a has more than 64 sides',
  )
})

test('what would not be read again is not written', async () => {
  const file = path.join(folder, 'unwritten.safetensors')
  const tensor = { shape: [1], data: Float32Array.of(1) }
  const refusedToWrite = async (checkpoint: unknown) => {
    await writeCheckpoint(file, checkpoint as never).then(
      () => assert.unreachable(JSON.stringify(checkpoint)),
      (error) => assert.is(error.code, 'ERR_CHECKPOINT', `${error}`),
    )
  }
  await refusedToWrite({ tensors: { __metadata__: tensor }, metadata: {} })
  await refusedToWrite({ tensors: { a: { ...tensor, shape: [2] } }, metadata: {} })
  await refusedToWrite({ tensors: {}, metadata: { a: 1 } })
  const integers = { a: { shape: [1], data: BigInt64Array.of(1n) } }
  await refusedToWrite({ tensors: { a: tensor }, metadata: {}, integers })
  assert.not.ok(readdirSync(folder).includes('unwritten.safetensors'))
})

test('half, bfloat16 and double become float32; integers are named and passed over', async () => {
  const file = path.join(folder, 'types.safetensors')
  const header = {
    half: { dtype: 'F16', shape: [8], data_offsets: [0, 16] },
    brain: { dtype: 'BF16', shape: [2, 2], data_offsets: [16, 24] },
    index: { dtype: 'I64', shape: [1, 2], data_offsets: [24, 40] },
    flag: { dtype: 'BOOL', shape: [], data_offsets: [40, 41] },
    double: { dtype: 'F64', shape: [2], data_offsets: [41, 57] },
  }
  // By hand after IEEE 754: 1, -2, largest, smallest normal, smallest, -0, infinity, NaN.
  const halves = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x8000, 0x7c00, 0x7e00]
  const brains = [0x3f80, 0xc020, 0x7f80, 0x0001]
  const data = Buffer.alloc(57)
  for (const [at, bits] of [...halves, ...brains].entries()) data.writeUInt16LE(bits, 2 * at)
  data.writeDoubleLE(0.1, 41)
  data.writeDoubleLE(-1e300, 49)
  writeRaw(file, JSON.stringify(header), data)
  const { tensors: read, skipped } = await readCheckpoint(file)
  const { POSITIVE_INFINITY, NEGATIVE_INFINITY } = Number
  const wanted = {
    half: [1, -2, 65504, 2 ** -14, 2 ** -24, -0, POSITIVE_INFINITY, Number.NaN],
    brain: [1, -2.5, POSITIVE_INFINITY, 2 ** -133],
    double: [Math.fround(0.1), NEGATIVE_INFINITY],
  }
  assert.equal(Object.keys(read), ['half', 'brain', 'double'])
  for (const [name, values] of Object.entries(wanted)) {
    const got = [...(read[name]?.data ?? [])]
    assert.ok(
      values.length === got.length && values.every((value, i) => Object.is(value, got[i])),
      `${name}: ${got}`,
    )
  }
  assert.equal(read.brain?.shape, [2, 2])
  assert.equal(skipped, [
    { name: 'index', dtype: 'I64', shape: [1, 2] },
    { name: 'flag', dtype: 'BOOL', shape: [] },
  ])
})

test('integers are written beside the weights, aligned, and listed without reading values', async () => {
  const file = path.join(folder, 'integers.safetensors')
  const data = BigInt64Array.of(3n, -1n)
  // An odd number of floats, behind which no integer would begin at a multiple of 8.
  const odd = { ...tensors, one: { shape: [1], data: Float32Array.of(5) } }
  await writeCheckpoint(file, { tensors: odd, metadata: {}, integers: { i: { shape: [2], data } } })
  const bytes = readFileSync(file)
  const length = Number(bytes.readBigUInt64LE(0))
  const { i } = JSON.parse(bytes.subarray(8, 8 + length).toString('utf8'))
  assert.is(i.dtype, 'I64')
  assert.is((8 + length + i.data_offsets[0]) % 8, 0)
  assert.is(bytes.readBigInt64LE(8 + length + i.data_offsets[0]), 3n)
  assert.is(bytes.readBigInt64LE(8 + length + i.data_offsets[0] + 8), -1n)
  const listed = (await listCheckpoint(file)).tensors.map(({ name, dtype }) => [name, dtype])
  assert.equal(listed.sort(), [
    ['a.bias', 'F32'],
    ['a.weight', 'F32'],
    ['i', 'I64'],
    ['one', 'F32'],
    ['scalar', 'F32'],
  ])
  assert.equal((await readCheckpoint(file)).tensors.one, odd.one)
})

test('a name that means something to JavaScript is a name', async () => {
  const file = path.join(folder, 'proto.safetensors')
  const entry = (at: number) => `{"dtype":"F32","shape":[1],"data_offsets":[${at},${at + 4}]}`
  writeRaw(file, `{"__proto__":${entry(0)},"constructor":${entry(4)}}`, Buffer.alloc(8))
  assert.equal(Object.keys((await readCheckpoint(file)).tensors), ['__proto__', 'constructor'])
})

test('a PyTorch pickle is refused with the lines that convert it', async () => {
  const zip = path.join(folder, 'swin "tiny".pth')
  writeFileSync(zip, Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(200, 8)]))
  const { hint } = await refused(zip, 'is a PyTorch pickle', zip)
  assert.match(hint ?? '', 'from safetensors.torch import save_file')
  assert.match(hint ?? '', JSON.stringify(zip))
  assert.match(hint ?? '', JSON.stringify(zip.replace('.pth', '.safetensors')))
  const legacy = path.join(folder, 'legacy.pt')
  writeFileSync(legacy, Buffer.from('80028a0a6cfc9c46f920', 'hex'))
  await refused(legacy, 'is a PyTorch pickle')
})

test('a folder and a device are refused', async () => {
  await refused(folder, folder)
  await refused('/dev/zero', '/dev/zero')
})

test('what cannot be written leaves what was there', async () => {
  await refused(path.join(folder, 'missing', 'x.safetensors'))
  try {
    await writeCheckpoint(path.join(folder, 'missing', 'x'), { tensors, metadata: {} })
    assert.unreachable('was written')
  } catch (error) {
    assert.is((error as LocalformerError).code, 'ERR_CHECKPOINT')
  }
})

test.run()

// Checkpoints: what is written is read again; a file that is damaged is an error, never a crash.
import { mkdtempSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCheckpoint, writeCheckpoint } from '../../lib/checkpoint.js'
import { LocalformerError } from '../../lib/errors.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-checkpoint-'))
const tensors = {
  'a.weight': { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e-30, Number.NaN) },
  'a.bias': { shape: [3], data: Float32Array.of(0.1, 0.2, 0.3) },
  scalar: { shape: [], data: Float32Array.of(7) },
}

async function refused(file: string, ...parts: readonly string[]): Promise<void> {
  try {
    await readCheckpoint(file)
  } catch (error) {
    assert.instance(error, LocalformerError)
    assert.is((error as LocalformerError).code, 'ERR_CHECKPOINT')
    for (const part of parts) assert.match((error as Error).message, part)
    return
  }
  assert.unreachable(`${file} was read`)
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
  const write = (header: string, data = 8) => {
    const json = Buffer.from(header)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(json.length))
    writeFileSync(file, Buffer.concat([length, json, Buffer.alloc(data)]))
  }
  write('not json')
  await refused(file, 'header')
  write('[]')
  await refused(file)
  write('{"t":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}')
  await refused(file, 'F16', 't')
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

// TensorBoard's event file, byte by byte, and as the real package reads it where Python has it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  crc32c,
  eventFileName,
  scalarsOf,
  scalarsRecord,
  versionRecord,
} from '../../../lib/loggers/tensorboard.js'
import { evaluationEvent, stepEvent } from '../../helpers/train-events.js'

test('CRC-32C has the values of RFC 3720, B.4', () => {
  assert.is(crc32c(new Uint8Array(32)), 0x8a9136aa)
  assert.is(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  assert.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
  assert.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c)
  assert.is(crc32c(Buffer.from('123456789')), 0xe3069283)
})

test('a file begins with the version, in the frame that TensorFlow writes', () => {
  // Written by tensorboard 2.21 (RecordWriter over its own protobuf messages), wall time 1.5.
  const golden =
    '1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a32' + '2a28646c'
  assert.is(Buffer.from(versionRecord(1.5)).toString('hex'), golden)
})

test('scalars are summaries with tag and value', () => {
  const record = Buffer.from(scalarsRecord(2.5, 300, [{ tag: 'a/b', value: 0.5 }]))
  // By the same.
  const golden =
    '1a00000000000000129bd82d09000000000000044010ac022a0c0a0a0a03612f62150000' + '003f2877e157'
  assert.is(record.toString('hex'), golden)
})

test('the name has the time and no machine in it', () => {
  assert.is(eventFileName(1700000000.9), 'events.out.tfevents.1700000000.localformer')
})

test('a step and an evaluation give scalars by module', () => {
  const ofStep = Object.fromEntries(scalarsOf(stepEvent({})).map(({ tag, value }) => [tag, value]))
  assert.is(ofStep['label_loss/module_1'], 2.25)
  assert.is(ofStep['reconstruction_loss/module_1'], 0.5)
  assert.not.ok('reconstruction_loss/module_2' in ofStep)
  assert.is(ofStep.learning_rate, 1e-3)
  const tags = scalarsOf(evaluationEvent()).map(({ tag }) => tag)
  assert.equal(tags, [
    ...['test_accuracy', 'test_loss', 'test_accuracy/module_1', 'test_loss/module_1'],
    ...['test_accuracy/module_2', 'test_loss/module_2'],
  ])
})

const PYTHON = process.env.PYTHON || 'python3'
const READ = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps({tag: [[e.step, e.value, e.wall_time] for e in events.Scalars(tag)]
                  for tag in events.Tags()["scalars"]}))`

const probe = spawnSync(PYTHON, ['-c', 'import tensorboard'], { encoding: 'utf8' })
if (probe.status !== 0) console.log(`SKIP: ${PYTHON} lacks tensorboard`)

;(probe.status === 0 ? test : test.skip)('the real TensorBoard reads every value', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'localformer-tensorboard-'))
  // Steps on both sides of each length of a varint.
  const steps = [1, 127, 128, 16_383, 16_384, 2 ** 31 + 5]
  const records = steps.map((step, i) =>
    scalarsRecord(1000 + i / 4, step, [
      { tag: 'label_loss/module_1', value: 1 / (i + 1) },
      { tag: 'peak_allocated_bytes/module_1', value: 123_456_789 * i },
    ]),
  )
  const file = path.join(folder, eventFileName(1000))
  writeFileSync(file, Buffer.concat([versionRecord(1000), ...records]))
  const { status, stdout, stderr } = spawnSync(PYTHON, ['-c', READ, folder], { encoding: 'utf8' })
  rmSync(folder, { recursive: true })
  assert.is(status, 0, stderr)
  const read = JSON.parse(stdout)
  assert.equal(
    read['label_loss/module_1'],
    steps.map((step, i) => [step, Math.fround(1 / (i + 1)), 1000 + i / 4]),
  )
  assert.is(read['peak_allocated_bytes/module_1'][5][1], Math.fround(123_456_789 * 5))
})

test.run()

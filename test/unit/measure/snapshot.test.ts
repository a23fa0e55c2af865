// What a snapshot of memory says of its peak: of ours, of PyTorch's, of one that is damaged.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import type { Plain, PlainObject } from '../../../lib/base/pickle.js'
import { formatSnapshot } from '../../../lib/cli/commands/memory.js'
import { summarizeSnapshot } from '../../../lib/measure/snapshot-summary.js'
import { rejects } from '../../helpers/expect.js'
import { pickleOf } from '../../helpers/pickle-writer.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-snapshot-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

function fileOf(document: Plain | Buffer, name = 'snapshot.pickle'): string {
  const file = path.join(folder, name)
  writeFileSync(file, Buffer.isBuffer(document) ? document : pickleOf(document))
  return file
}

const frame = (filename: string, name: string, line = 0) => ({ filename, name, line })
const own = (module: string, ...names: string[]) => names.map((name) => frame(module, name))

function event(action: string, addr: number, size: number, frames: Plain[] = []): PlainObject {
  return { action, addr, size, stream: 0, time_us: 1, frames }
}

const free = (addr: number, size: number, frames: Plain[] = []) => [
  event('free_requested', addr, size, frames),
  event('free_completed', addr, size, frames),
]

function block(address: number, size: number, frames: Plain[], state = 'active_allocated') {
  return { address, size, requested_size: size, state, frames }
}

function documentOf(trace: Plain[], blocks: PlainObject[], more: PlainObject = {}): PlainObject {
  const segment = { device: 0, address: 1000, total_size: 5000, blocks }
  return { segments: [segment], device_traces: [trace], allocator_settings: {}, ...more }
}

const ONE = 'module 1 (paper:2)'
const WEIGHTS = own('network', 'weights: aten::empty', 'weights: aten::ones')
const PRODUCT = own(ONE, 'backward: aten::empty', 'backward: aten::mm')

const TRACE = [
  event('segment_map', 1000, 5000),
  event('alloc', 1000, 400, WEIGHTS),
  event('alloc', 1400, 300, own(ONE, 'forward: aten::addmm')),
  event('alloc', 1700, 200, PRODUCT),
  event('alloc', 1900, 100, PRODUCT),
  ...free(1900, 100, own(ONE, 'backward')),
  ...free(1400, 300, own(ONE, 'backward: aten::mm')),
  ...free(1700, 200, own(ONE, 'update')),
  event('alloc', 1400, 50, own('localformer', 'aten::cat')),
]
const DOCUMENT = documentOf(
  TRACE,
  [block(1000, 400, WEIGHTS), block(1400, 50, []), block(1450, 4550, [], 'inactive')],
  { localformer: { schema: 1, is_complete: true } },
)

test('ours: the peak by module, phase and kind', async () => {
  const { by, isComplete, devices } = await summarizeSnapshot(fileOf(DOCUMENT))
  assert.is(by, 'localformer')
  assert.is(isComplete, true)
  assert.is(devices.length, 1)
  const [device] = devices
  assert.is(device?.peakBytes, 1000)
  assert.is(device?.peakEvent, 4)
  assert.is(device?.peakAt, `${ONE}, backward, aten::mm`)
  const groups = device?.groups.map(({ module, phase, kind, bytes, allocations, operator }) => [
    ...[module, phase, kind, bytes, allocations, operator],
  ])
  assert.equal(groups, [
    ['network', 'weights', 'weights', 400, 1, 'aten::ones'],
    [ONE, 'forward', 'activations', 300, 1, 'aten::addmm'],
    [ONE, 'backward', 'gradients', 200, 1, 'aten::mm'],
    [ONE, 'backward', 'temporaries', 100, 1, 'aten::mm'],
  ])
})

test('what was there before the first event counts, with the frames that it has', async () => {
  const incomplete = { localformer: { schema: 1, is_complete: false } }
  const trace = TRACE.slice(3)
  const document = documentOf(trace, [block(1000, 400, WEIGHTS), block(1400, 50, [])], incomplete)
  const summary = await summarizeSnapshot(fileOf(document))
  assert.is(summary.isComplete, false)
  const [device] = summary.devices
  assert.is(device?.peakBytes, 1000)
  const groups = device?.groups.map(({ module, kind, bytes }) => [module, kind, bytes])
  assert.equal(groups, [
    ['network', 'weights', 400],
    ['unknown', 'unknown', 300],
    [ONE, 'gradients', 200],
    [ONE, 'temporaries', 100],
  ])
  assert.match(formatSnapshot(summary, 20), 'The oldest events are missing')
  assert.match(formatSnapshot(summary, 1), 'and 3 more with 600 B')
})

test('PyTorch: the innermost code outside torch', async () => {
  const torch = '/venv/lib/python3.12/site-packages/torch/nn/modules/linear.py'
  const frames = (line: number) => [
    frame('??', 'at::native::empty_cuda'),
    frame(torch, 'forward', 134),
    frame('/home/me/torch/train.py', 'step', line),
    frame('/home/me/main.py', '<module>', 3),
  ]
  const trace = [
    event('alloc', 1000, 600, frames(10)),
    event('alloc', 2000, 100, frames(12)),
    event('alloc', 3000, 50, [frame('??', 'main')]),
    // As older versions wrote it.
    event('free', 2000, 100),
  ]
  const document = documentOf(trace, [block(1000, 600, frames(10)), block(3000, 50, [])])
  const summary = await summarizeSnapshot(fileOf(document))
  assert.is(summary.by, 'pytorch')
  assert.is(summary.isComplete, null)
  const groups = summary.devices[0]?.groups.map(({ module, phase, kind, bytes }) => [
    ...[module, phase, kind, bytes],
  ])
  assert.equal(groups, [
    ['/home/me/torch/train.py:10 step', '', 'unknown', 600],
    ['/home/me/torch/train.py:12 step', '', 'unknown', 100],
    ['unknown', '', 'unknown', 50],
  ])
})

test('without a history what is in use; nothing where nothing is', async () => {
  const used = await summarizeSnapshot(fileOf(documentOf([], [block(1000, 400, [])])))
  assert.is(used.devices[0]?.peakBytes, 400)
  assert.is(used.devices[0]?.peakEvent, null)
  const unused = await summarizeSnapshot(fileOf({ segments: [], device_traces: [] }))
  assert.equal(unused.devices, [])
  assert.match(formatSnapshot(unused, 20), 'No memory is in use')
})

test('devices are told apart', async () => {
  const document = {
    segments: [0, 3].map((device) => ({
      ...{ device, address: 1000, total_size: 100 },
      blocks: [block(1000, 100 + device, [])],
    })),
    device_traces: [[], [event('alloc', 1000, 7)], []],
  }
  const { devices } = await summarizeSnapshot(fileOf(document))
  assert.equal(
    devices.map(({ device, peakBytes }) => [device, peakBytes]),
    [
      [0, 100],
      [1, 7],
      [3, 103],
    ],
  )
})

test('what is no snapshot is told with where it is wrong', async () => {
  const wrong: [Plain, RegExp][] = [
    [null, /it is no dictionary/],
    [[], /it is no dictionary/],
    [{}, /segments is no list/],
    [{ segments: [1] }, /segments\.0 is no dictionary/],
    [{ segments: [{ address: 'x', blocks: [] }] }, /segments\.0\.address is no number/],
    [{ segments: [], device_traces: [[{}]] }, /device_traces\.0\.0\.action is no word/],
    [documentOf([event('alloc', 1, 1, [{ name: 'x' }])], []), /without a name/],
    [documentOf([{ action: 'alloc', size: null, addr: Number.NaN }], []), /is no number/],
  ]
  for (const [document, message] of wrong) {
    await rejects(
      () => summarizeSnapshot(fileOf(document)),
      'ERR_CONFIG',
      'no memory snapshot',
      message,
    )
  }
  await rejects(() => summarizeSnapshot(path.join(folder, 'none')), 'ERR_CONFIG', 'ENOENT')
  await rejects(() => summarizeSnapshot(folder), 'ERR_CONFIG', 'it is a folder')
  await rejects(() => summarizeSnapshot(''), 'ERR_CONFIG', '`file`')
})

test('a list that is named many times over costs no more than the file is long', async () => {
  // 0x94 keeps the list of 1000, `h\0` names it again.
  const many = Buffer.concat([
    Buffer.from([0x80, 4]),
    Buffer.from('}(X\x08\0\0\0segments]X\x0d\0\0\0device_traces', 'latin1'),
    Buffer.from(`](](${'N'.repeat(1000)}e\x94`, 'latin1'),
    Buffer.from('h\0'.repeat(5000), 'latin1'),
    Buffer.from('eu.'),
  ])
  const began = performance.now()
  await rejects(
    () => summarizeSnapshot(fileOf(many)),
    'ERR_CONFIG',
    /names more than is in it|no dictionary/,
  )
  assert.ok(performance.now() - began < 5000)
})

test('cut at any byte, or with a byte changed, a snapshot is read or refused', async () => {
  const bytes = pickleOf(DOCUMENT)
  const take = async (damaged: Buffer, what: string) => {
    try {
      await summarizeSnapshot(fileOf(damaged))
    } catch (error) {
      assert.instance(error, LocalformerError, `${what}: ${(error as Error).stack}`)
      return false
    }
    return true
  }
  for (let length = 0; length < bytes.length; length++) {
    assert.is(await take(bytes.subarray(0, length), `${length} bytes`), false)
  }
  for (let at = 0; at < bytes.length; at += 2) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (at * 31 + 7) & 255
    await take(damaged, `byte ${at}`)
  }
})

test.run()

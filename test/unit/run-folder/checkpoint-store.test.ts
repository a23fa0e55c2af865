// Checkpoints of a run: what is kept comes back bit for bit, a damaged one is told and the one before
// it used, and whatever moment a writer was stopped at, a whole one is there.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CheckpointStore } from '../../../lib/run-folder/checkpoint-store.js'
import { checkIdentity, type TrainingState } from '../../../lib/train/training-state.js'
import { rejects, same } from '../../helpers/expect.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-store-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

let folders = 0
function newStore() {
  const directory = path.join(root, String(folders++), 'checkpoints')
  return { directory, store: new CheckpointStore(directory) }
}

/** Another text of the index. */
function changed(from: string, to: string) {
  return (folder: string) => {
    const file = path.join(folder, 'state.json')
    const text = readFileSync(file, 'utf8')
    assert.match(text, from)
    writeFileSync(file, text.replace(from, to))
  }
}

const identity = { model: { classes: 10 }, trainer: {}, training: { batchSize: 4 }, data: {} }

function tensor(seed: number, count = 6) {
  return { shape: [count], data: Float32Array.from({ length: count }, (_, i) => seed + i / 7) }
}

/** As `captureState` gives it; `step` tells one from another. */
function stateAt(step: number, isAveraged = false): TrainingState {
  return {
    progress: {
      ...{ step, epoch: 1, stepInEpoch: step, stage: 'steps', phase: 0 },
      ...{ epochSums: [], evaluation: null, best: null, epochsSinceBest: 0 },
      pace: { images: 4, seconds: 1 },
      ...{ seconds: 1, peakAllocatedBytes: 1, frozen: [false], identity: identity as never },
    },
    weights: { 'a.weight': tensor(step), 'auxiliary.0.head.fc.bias': tensor(step + 1) },
    tensors: {
      'optimizer.0.exp_avg.a.weight': tensor(step + 2),
      'optimizer.0.step.a.weight': { shape: [], data: Float32Array.of(step) },
      ...(isAveraged
        ? { 'average.a.weight': tensor(step + 3), 'average.auxiliary.0.head.fc.bias': tensor(0) }
        : {}),
    },
    generator: Uint8Array.of(1, 2, 255, step),
  }
}

function isState(got: TrainingState | undefined, want: TrainingState): void {
  assert.ok(got)
  assert.equal(got.progress, want.progress)
  same(want.weights, got.weights, 'weights')
  same(want.tensors, got.tensors, 'tensors')
  assert.equal([...got.generator], [...want.generator])
}

const stepOf = async (store: CheckpointStore) => (await store.load())?.progress.step

for (const isAveraged of [false, true]) {
  test(`a state comes back bit for bit, ${isAveraged ? 'with' : 'without'} an average`, async () => {
    const { store, directory } = newStore()
    assert.is(await store.load(), undefined)
    const state = stateAt(3, isAveraged)
    await store.save(state, { logs: { 'events.jsonl': 12 }, surroundings: { threads: '1' } })
    const back = await store.load()
    isState(back, state)
    assert.equal(back?.logs, { 'events.jsonl': 12 })
    assert.equal(back?.surroundings, { threads: '1' })
    assert.equal(readdirSync(directory), ['last'])
    assert.equal(readdirSync(path.join(directory, 'last')).sort(), [
      ...['state.json', 'state.safetensors', 'weights.safetensors'],
    ])
  })
}

test('the one before the last stays, kept ones stay for good', async () => {
  const { store, directory } = newStore()
  await store.save(stateAt(1), { keep: ['best', 'epoch-0001'] })
  await store.save(stateAt(2))
  await store.save(stateAt(3), { keep: ['best'] })
  assert.equal(readdirSync(directory).sort(), ['best', 'epoch-0001', 'last', 'previous'])
  const stepIn = (name: string) =>
    JSON.parse(readFileSync(path.join(directory, name, 'state.json'), 'utf8')).state.progress.step
  assert.equal(['best', 'epoch-0001', 'last', 'previous'].map(stepIn), [3, 1, 3, 2])
})

const DAMAGE: Readonly<Record<string, (folder: string) => void>> = {
  'a file is missing': (folder) => rmSync(path.join(folder, 'state.safetensors')),
  'the index is missing': (folder) => rmSync(path.join(folder, 'state.json')),
  'a file is cut': (folder) => truncateSync(path.join(folder, 'weights.safetensors'), 100),
  'the index is cut': (folder) => truncateSync(path.join(folder, 'state.json'), 50),
  'the index is empty': (folder) => writeFileSync(path.join(folder, 'state.json'), ''),
  'the index is something else': (folder) => writeFileSync(path.join(folder, 'state.json'), 'null'),
  'the index is of another schema': (folder) => {
    const file = path.join(folder, 'state.json')
    writeFileSync(file, readFileSync(file, 'utf8').replace('"schema": 2', '"schema": 3'))
  },
  'the step is another': changed('"step": 2', '"step": 98'),
  'one character of the generator is another': changed('"generator": "A', '"generator": "B'),
  'a figure was put in': changed('"phase": 0,', '"phase": 0, "stepsPerPhase": 1,'),
  'a name means something to JavaScript': changed('"phase": 0,', '"phase": 0, "__proto__": {},'),
  'a figure is none, with a digest of its own': (folder) => {
    const file = path.join(folder, 'state.json')
    const { state } = JSON.parse(readFileSync(file, 'utf8'))
    state.progress.step = 'many'
    const sha256 = createHash('sha256').update(JSON.stringify(state)).digest('hex')
    writeFileSync(file, JSON.stringify({ schema: 2, sha256, state }))
  },
  'one bit is another': (folder) => {
    const file = path.join(folder, 'state.safetensors')
    // A file that is shared with another checkpoint would change in both.
    const bytes = Buffer.from(readFileSync(file))
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1
    rmSync(file)
    writeFileSync(file, bytes)
  },
}

for (const [what, damage] of Object.entries(DAMAGE)) {
  test(`${what}: it is told, and the one before is used`, async () => {
    const { store, directory } = newStore()
    await store.save(stateAt(1))
    await store.save(stateAt(2))
    damage(path.join(directory, 'last'))
    const back = await store.load()
    isState(back, stateAt(1))
    assert.is(back?.name, 'previous')
    assert.is(back?.damage?.code, 'ERR_CHECKPOINT')
    assert.match(back?.damage?.message ?? '', path.join(directory, 'last'))
    // The good one is not pushed out by the damaged one.
    await store.save(stateAt(2))
    assert.is(await stepOf(store), 2)
    rmSync(path.join(directory, 'last'), { recursive: true })
    assert.is(await stepOf(store), 1)
  })
}

test('with every one damaged the others that are whole are named', async () => {
  const { store, directory } = newStore()
  await store.save(stateAt(1), { keep: ['best'] })
  await store.save(stateAt(2))
  for (const name of ['last', 'previous']) rmSync(path.join(directory, name, 'state.safetensors'))
  await rejects(() => store.load(), 'ERR_CHECKPOINT', 'state.safetensors is missing', 'best')
  rmSync(path.join(directory, 'best', 'state.safetensors'))
  await rejects(() => store.load(), 'ERR_CHECKPOINT', 'No other is whole', '--overwrite')
})

test('whatever moment a writer was stopped at, a whole one is there', async () => {
  const { store, directory } = newStore()
  await store.save(stateAt(1))
  await store.save(stateAt(2))
  const at = (name: string) => path.join(directory, name)
  // Half of the files of the next one are written.
  mkdirSync(at('.1-abcd.tmp'))
  cpSync(path.join(at('last'), 'weights.safetensors'), at('.1-abcd.tmp/weights.safetensors'))
  assert.is(await stepOf(store), 2)
  // `previous` is out of the way, then `last` too.
  renameSync(at('previous'), at('.previous.old'))
  assert.is(await stepOf(store), 2)
  renameSync(at('last'), at('previous'))
  assert.is(await stepOf(store), 2)
  await store.clean()
  assert.equal(readdirSync(directory), ['previous'])
  await store.save(stateAt(3))
  assert.is(await stepOf(store), 3)
  assert.equal(readdirSync(directory).sort(), ['last', 'previous'])
})

test('a checkpoint that was moved away for a new one that never came is put back', async () => {
  for (const name of ['best', 'previous']) {
    const { store, directory } = newStore()
    await store.save(stateAt(1), { keep: ['best'] })
    await store.save(stateAt(2))
    const before = readFileSync(path.join(directory, name, 'state.json'), 'utf8')
    renameSync(path.join(directory, name), path.join(directory, `.${name}.old`))
    await store.clean()
    assert.equal(readdirSync(directory).sort(), ['best', 'last', 'previous'])
    assert.is(readFileSync(path.join(directory, name, 'state.json'), 'utf8'), before)
  }
})

test('a folder that cannot be written is told, and nothing half written stays', async () => {
  const { store, directory } = newStore()
  mkdirSync(path.dirname(directory), { recursive: true })
  // For root no folder is read-only, but a file is none.
  writeFileSync(directory, '')
  await rejects(() => store.save(stateAt(1)), 'ERR_CHECKPOINT', directory, 'could not be written')
  assert.equal(readdirSync(path.dirname(directory)), ['checkpoints'])
})

// In a process whose files must not grow beyond so many KiB: the disk is full for it.
test('a disk that is full is told, and the checkpoint that was there is untouched', async () => {
  const { store, directory } = newStore()
  await store.save(stateAt(1))
  const before = readdirSync(path.join(directory, 'last')).map((name) =>
    readFileSync(path.join(directory, 'last', name)),
  )
  const module = new URL('../../../lib/run-folder/checkpoint-store.js', import.meta.url).href
  const script = `
    import { CheckpointStore } from ${JSON.stringify(module)}
    const data = new Float32Array(100_000)
    const state = ${JSON.stringify({ progress: stateAt(2).progress })}
    const weights = { big: { shape: [data.length], data } }
    try {
      await new CheckpointStore(${JSON.stringify(directory)}).save(
        { ...state, weights, tensors: {}, generator: new Uint8Array(1) })
    } catch (error) { console.log(error.code, error.message, error.hint) }`
  const { stdout, stderr, status } = spawnSync(
    'bash',
    ['-c', 'ulimit -f 64; exec "$0" --input-type=module -e "$1"', process.execPath, script],
    { encoding: 'utf8' },
  )
  assert.is(status, 0, stderr)
  assert.match(stdout, /^ERR_CHECKPOINT .*EFBIG.*untouched/s)
  assert.equal(readdirSync(directory), ['last'])
  assert.equal(
    readdirSync(path.join(directory, 'last')).map((name) =>
      readFileSync(path.join(directory, 'last', name)),
    ),
    before,
  )
  assert.is(await stepOf(store), 1)
})

test('what differs between a run and its checkpoint is named with both values', async () => {
  checkIdentity(identity as never, structuredClone(identity) as never)
  const other = { ...identity, training: { batchSize: 8, ema: 0.9 } }
  const error = await rejects(
    () => checkIdentity(other as never, identity as never),
    'ERR_CONFIG',
    'training.batchSize was 4 and is 8',
    'training.ema was unset and is 0.9',
  )
  assert.equal(error.differing, ['training.batchSize', 'training.ema'])
})

// Where Python has the real package.
const PYTHON = process.env.PYTHON || 'python3'
const probe = spawnSync(PYTHON, ['-c', 'import safetensors.numpy'], { encoding: 'utf8' })
if (probe.status !== 0) console.log(`SKIP: ${PYTHON} lacks safetensors and numpy`)

;(probe.status === 0 ? test : test.skip)('the safetensors package reads both files', async () => {
  const { store, directory } = newStore()
  await store.save(stateAt(5, true))
  const script = `
import json, sys
from safetensors.numpy import load_file
print(json.dumps([{k: v.tolist() for k, v in load_file(f).items()} for f in sys.argv[1:]]))`
  const files = ['weights', 'state'].map((name) =>
    path.join(directory, 'last', `${name}.safetensors`),
  )
  const { status, stdout, stderr } = spawnSync(PYTHON, ['-c', script, ...files], {
    encoding: 'utf8',
  })
  assert.is(status, 0, stderr)
  const [weights, state] = JSON.parse(stdout)
  assert.equal(weights['a.weight'], [...tensor(8).data])
  assert.equal(Object.keys(state).sort(), [
    ...['optimizer.0.exp_avg.a.weight', 'optimizer.0.step.a.weight'],
    ...['weights.a.weight', 'weights.auxiliary.0.head.fc.bias'],
  ])
  assert.is(state['optimizer.0.step.a.weight'], 5)
})

test.run()

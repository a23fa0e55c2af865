// train --resume as a user runs it: after Ctrl-C, a full disk and damage, and what it refuses.
import { spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const root = mkdtempSync(path.join(tmpdir(), 'localformer-resume-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

const NETWORK = ['train', '--dataset', 'synthetic', '--variant', 'micro', '--batch-size', '32']
const TRAIN = [
  ...NETWORK,
  ...['--train-limit', '128', '--epochs', '4', '--test-limit', '32', '--checkpoint-every', '2'],
]
const at = (...names: readonly string[]) => path.join(root, ...names)

function run(args: readonly string[], wrapper: readonly string[] = []) {
  const [command = '', ...rest] = [...wrapper, process.execPath, CLI, ...args]
  return spawnSync(command, rest, { encoding: 'utf8', cwd: root })
}

function succeeds(args: readonly string[]) {
  const { status, stdout, stderr } = run(args)
  assert.is(status, 0, stderr)
  return { stdout, stderr }
}

function isLikeWhole(name: string): void {
  for (const file of ['weights.safetensors', 'checkpoints/last/state.safetensors']) {
    const [got, want] = [name, 'whole'].map((folder) => readFileSync(at(folder, file)))
    assert.ok(want?.equals(got as Buffer), `${name}/${file}`)
  }
  const steps = readFileSync(at(name, 'events.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'step')
    .map(({ step }) => step)
  assert.equal(
    steps,
    Array.from({ length: 16 }, (_, i) => i + 1),
  )
}

/** The whole run, killed before it wrote what it came to. */
function copyUnended(name: string): void {
  cpSync(at('whole'), at(name), { recursive: true })
  rmSync(at(name, 'summary.json'))
}

test.before(() => {
  succeeds([...TRAIN, '--run-dir', at('whole')])
})

test('a run keeps its last and best checkpoint, and every so many epochs one for good', () => {
  assert.equal(
    readdirSync(at('whole', 'checkpoints')).filter((name) => name !== 'best'),
    ['epoch-0002', 'epoch-0004', 'last', 'previous'],
  )
  const { accuracy } = JSON.parse(
    succeeds(['evaluate', at('whole', 'checkpoints', 'best'), '--limit', '32', '--json']).stdout,
  )
  const accuracies = readFileSync(at('whole', 'events.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'evaluation')
    .map((event) => event.accuracy)
  assert.is(accuracy, Math.max(...accuracies))
})

test('after Ctrl-C the command that it names ends the run as if nothing had been', async () => {
  const child = spawn(process.execPath, [CLI, ...TRAIN, '--run-dir', at('stopped')])
  let stderr = ''
  child.stderr.on('data', (data) => {
    stderr += data
  })
  child.stdout.on('data', (data) => {
    // In the second epoch.
    if (`${data}`.includes('Epoch 1 of') && !child.killed) child.kill('SIGTERM')
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  assert.is(code, 130, stderr)
  const [, folder = ''] = /to go on: npx localformer train --resume (.*)/.exec(stderr) ?? []
  assert.is(folder, at('stopped'))
  const { state } = JSON.parse(readFileSync(at('stopped', 'checkpoints/last/state.json'), 'utf8'))
  const { progress } = state
  assert.ok(progress.step >= 4 && progress.step < 16, `stopped at ${progress.step}`)

  const refused = run([...TRAIN, '--run-dir', folder])
  assert.is(refused.status, 2)
  assert.match(refused.stderr, `holds an unfinished run (step ${progress.step}`)
  assert.match(refused.stderr, `localformer train --resume ${folder}`)

  succeeds(['train', '--resume', folder])
  isLikeWhole('stopped')
})

test('a run that another process trains is left alone', async () => {
  const long = [...NETWORK, '--train-limit', '64', '--epochs', '400', '--test-limit', '0']
  const child = spawn(process.execPath, [CLI, ...long, '--run-dir', at('busy')])
  const ended = new Promise((resolve) => child.on('close', resolve))
  const isUnderWay = new Promise<void>((resolve) => {
    child.stdout.on('data', (data) => `${data}`.includes('Epoch 1 of') && resolve())
  })
  await Promise.race([isUnderWay, ended])
  for (const args of [
    ['train', '--resume', 'busy'],
    [...TRAIN, '--run-dir', 'busy', '--overwrite'],
  ]) {
    const { status, stderr } = run(args)
    assert.is(status, 1, stderr)
    assert.match(stderr, `${at('busy')} is being written by process ${child.pid}`)
  }
  child.kill('SIGTERM')
  assert.is(await ended, 130)
})

test('a run that is over says so and leaves everything as it is', () => {
  const before = readFileSync(at('whole', 'summary.json'), 'utf8')
  const { stderr, stdout } = succeeds(['train', '--resume', 'whole'])
  assert.match(stderr, `The run of ${at('whole')} is over`)
  assert.match(
    stderr,
    `To train it further: npx localformer train --resume ${at('whole')} --epochs N`,
  )
  assert.match(stdout, `Run folder ${at('whole')}`)
  assert.is(readFileSync(at('whole', 'summary.json'), 'utf8'), before)
  assert.is(succeeds(['train', '--resume', 'whole', '--json', '--quiet']).stdout, before)
})

test('with more epochs it is trained further, and told what the learning rate does', () => {
  cpSync(at('whole'), at('further'), { recursive: true })
  const { stdout, stderr } = succeeds(['train', '--resume', 'further', '--epochs', '5'])
  assert.match(stderr, 'at step 16 and is trained further, to step 20; the learning rate')
  assert.match(stdout, 'Epoch 5 of 5')
  assert.is(JSON.parse(readFileSync(at('further', 'summary.json'), 'utf8')).steps, 20)
  const fewer = run(['train', '--resume', 'further', '--epochs', '3'])
  assert.is(fewer.status, 2)
  assert.match(fewer.stderr, 'Expected at least 5, as the run had, for `epochs` but received 3')
})

test('one that was killed before its summary goes nowhere', () => {
  const before = JSON.parse(readFileSync(at('whole', 'summary.json'), 'utf8'))
  copyUnended('over')
  succeeds(['train', '--resume', 'over'])
  isLikeWhole('over')
  const {
    directory: _,
    weights: __,
    seconds: ___,
    ...after
  } = JSON.parse(readFileSync(at('over', 'summary.json'), 'utf8'))
  // The throughput too is the whole run's.
  for (const [key, value] of Object.entries(after)) assert.equal(value, before[key], key)
})

test('a run that was killed before its last weights were put in its folder has them then', () => {
  copyUnended('behind')
  rmSync(at('behind', 'weights.safetensors'))
  cpSync(at('behind/checkpoints/previous/weights.safetensors'), at('behind/weights.safetensors'))
  succeeds(['train', '--resume', 'behind'])
  isLikeWhole('behind')
  // With the newest weights there already.
  rmSync(at('behind', 'summary.json'))
  succeeds(['train', '--resume', 'behind'])
  assert.equal(
    readdirSync(at('behind')).filter((name) => name.endsWith('.tmp')),
    [],
  )
})

test('a damaged checkpoint is told, and the one before it is used', () => {
  copyUnended('damaged')
  truncateSync(at('damaged', 'checkpoints/last/state.safetensors'), 1000)
  // Asking for quiet does not hide it.
  const { stderr } = succeeds(['train', '--resume', 'damaged', '--quiet'])
  assert.match(stderr, 'checkpoints/last/state.safetensors has 1000 bytes')
  assert.match(stderr, 'the checkpoint before it is used')
  isLikeWhole('damaged')
})

test('other options than those of the run are refused by name', () => {
  const given = ['--batch-size', '16', '--no-flip', '--run', 'greedy:2', '--checkpoint-every', '1']
  const { status, stderr } = run(['train', '--resume', 'whole', ...given])
  assert.is(status, 2)
  assert.match(stderr, '--batch-size was 32 and is 16')
  assert.match(stderr, '--flip was true and is false')
  assert.match(stderr, '--run was "paper:4" and is "greedy:2"')
  assert.not.match(stderr, 'checkpoint-every')
  const both = run(['train', '--resume', 'whole', '--overwrite'])
  assert.is(both.status, 2)
  const none = run(['train', '--resume', 'nowhere'])
  assert.is(none.status, 1)
  assert.match(none.stderr, 'ERR_CHECKPOINT')
  assert.match(none.stderr, 'holds no run')
})

test('on a disk that is full the run ends with a coded error and can go on later', () => {
  // What a process may write into one file is less than a checkpoint: the first one fails.
  const limited = ['bash', '-c', 'ulimit -f 512; exec "$0" "$@"']
  const { status, stderr } = run([...TRAIN, '--run-dir', at('full')], limited)
  assert.is(status, 1, stderr)
  assert.match(stderr, 'ERR_CHECKPOINT')
  assert.match(stderr, 'checkpoints that were there are untouched')
  assert.equal(readdirSync(at('full', 'checkpoints')), [])
  succeeds(['train', '--resume', 'full'])
  isLikeWhole('full')
  const again = run(['train', '--resume', 'full'], limited)
  assert.is(again.status, 0, 'nothing is left to write')
})

test('a run goes on without the weights that it began with: its checkpoint has them', () => {
  const weights = at('begin.safetensors')
  const options = ['--train-limit', '64', '--epochs', '2', '--test-limit', '0', '--no-flip']
  run([...NETWORK, ...options, '--max-steps', '1', '--run-dir', at('begin')])
  renameSync(at('begin', 'weights.safetensors'), weights)
  const args = [...NETWORK, ...options, '--init', weights, '--run-dir', at('goes-on')]
  assert.is(run(args).status, 0)
  rmSync(weights)
  const again = run(['train', '--resume', at('goes-on')])
  assert.is(again.status, 0, again.stderr)
})

test('after Ctrl-C on a full disk it is told that the run was not kept', async () => {
  const args = [...NETWORK, '--train-limit', '512', '--epochs', '500', '--run-dir', at('unkept')]
  const command = ['-c', 'ulimit -f 512; exec "$0" "$@"', process.execPath, CLI, ...args]
  const child = spawn('bash', command)
  let stderr = ''
  child.stderr.on('data', (data) => {
    stderr += data
    if (/epoch 1 /.test(stderr) && !child.killed) child.kill('SIGINT')
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  assert.is(code, 1, stderr)
  assert.match(stderr, 'ERR_CHECKPOINT')
  assert.not.match(stderr, 'to go on')
})

test.run()

// Evaluations and predictions that several processes share: what one process says, bit for bit; and what
// becomes of commands that they do not share.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DIST, type Ended, fixture } from '../helpers/child.js'
import { pngFile } from '../helpers/png.js'
import { startRanks } from '../helpers/ranks.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-shared-'))
const RUN = path.join(root, 'run')
const OTHER = path.join(root, 'other')
const LONE = { RANK: undefined, WORLD_SIZE: undefined, LOCAL_RANK: undefined }

type Environment = Readonly<Record<string, string | undefined>>

const started = (
  count: number,
  argsOf: (rank: number) => readonly string[],
  environmentOf: (rank: number) => Environment = () => ({}),
) =>
  startRanks(
    count,
    (rank) => [path.join(DIST, 'lib/cli/main.js'), ...argsOf(rank), '--device', 'cpu'],
    environmentOf,
  )

/** The command line on ranks, and how each ended. */
async function onRanks(
  count: number,
  argsOf: readonly string[] | ((rank: number) => readonly string[]),
  environmentOf?: (rank: number) => Environment,
): Promise<Ended[]> {
  const of = typeof argsOf === 'function' ? argsOf : () => argsOf
  const { ended } = await started(count, of, environmentOf)
  return Promise.all(ended)
}

async function alone(...args: readonly string[]): Promise<Ended> {
  const [one] = await onRanks(1, args, () => LONE)
  return one as Ended
}

const NETWORK = ['--dataset', 'synthetic', '--variant', 'micro', '--run', 'paper:2']
const BRIEF = ['--batch-size', '16', '--max-steps', '4', '--test-limit', '0', '--quiet']

test.before(async () => {
  for (const [folder, seed] of [
    [RUN, '1'],
    [OTHER, '2'],
  ] as const) {
    const { code, stderr } = await alone(
      ...['train', ...NETWORK, ...BRIEF, '--seed', seed, '--run-dir', folder],
    )
    assert.is(code, 0, stderr)
  }
})

test.after(() => rmSync(root, { recursive: true, force: true }))

async function reports(count: number, differsOf: (rank: number) => string = () => 'nothing') {
  const { ended } = await startRanks(
    Math.max(1, count),
    (rank) => [fixture('shared'), differsOf(rank)],
    () => (count === 0 ? LONE : {}),
  )
  return Promise.all(ended)
}

test('a script has the same answer on every rank as alone', async () => {
  const [one] = await reports(0)
  assert.is(one?.code, 0, one?.stderr)
  const { aborted: _, ...wanted } = JSON.parse(one?.stdout ?? '')
  assert.equal(wanted.broken, ['NaN', 0])
  for (const count of [2, 3]) {
    for (const { code, stdout, stderr } of await reports(count)) {
      assert.is(code, 0, stderr)
      const { aborted, ...found } = JSON.parse(stdout)
      assert.equal(found, wanted)
      assert.is(aborted, 'AbortError')
    }
  }
})

for (const [differs, message] of [
  ['weights', /The ranks do not agree: weightsSha256 is "\w{64}" on rank 1 and "\w{64}" on rank 0/],
  ['batches', /The ranks do not agree: batchSize is 3 on rank 1 and 4 on rank 0/],
] as const) {
  test(`ranks with other ${differs} refuse before the first image`, async () => {
    for (const { code, stderr } of await reports(2, (rank) => (rank === 1 ? differs : 'nothing'))) {
      assert.is(code, 1)
      assert.match(stderr, message)
    }
  })
}

for (const [count, options] of [
  [2, ['--batch-size', '7']],
  // One batch, and three ranks; two images, and three ranks.
  [3, ['--limit', '50']],
  [3, ['--limit', '2', '--batch-size', '1']],
] as const) {
  test(`evaluate ${options.join(' ')} on ${count} ranks: as one process, bit for bit`, async () => {
    const csv = (name: string) => path.join(root, `${name}.csv`)
    const args = (name: string) => ['evaluate', RUN, ...options, '--confusion', csv(name)]
    const one = await alone(...args('one'), '--json')
    const [first, ...others] = await onRanks(count, [...args('several'), '--json'])
    assert.is(first?.code, 0, first?.stderr)
    assert.is(first?.stdout, one.stdout)
    assert.equal(readFileSync(csv('several')), readFileSync(csv('one')))
    for (const { code, stdout, stderr } of others) assert.equal([code, stdout, stderr], [0, '', ''])
    const isIdle = count === 3
    assert.is(/[12] of 3 ranks have nothing to do/.test(first?.stderr ?? ''), isIdle)
  })
}

test('a split is evaluated as text, over what is there already', async () => {
  const csv = path.join(root, 'there.csv')
  writeFileSync(csv, 'old')
  const args = ['evaluate', RUN, '--split', 'train', '--limit', '200', '--confusion', csv]
  const one = await alone(...args)
  const wanted = readFileSync(csv, 'utf8')
  writeFileSync(csv, 'old')
  const [first, second] = await onRanks(2, [...args, '--threads', '1'])
  assert.equal([first?.stdout, second?.stdout], [one.stdout, ''])
  assert.is(readFileSync(csv, 'utf8'), wanted)
})

test('predict on ranks: the files in their order, and those that cannot be read', async () => {
  const folder = path.join(root, 'images')
  mkdirSync(folder)
  for (let k = 0; k < 41; k++) {
    const side = 20 + (k % 3)
    const rows = Buffer.alloc(side * (1 + 3 * side), 5 * k)
    for (let row = 0; row < side; row++) rows[row * (1 + 3 * side)] = 0
    const file = pngFile({ width: side, height: side, rows })
    writeFileSync(path.join(folder, `${100 + k}ü.png`), k % 20 === 1 ? 'no image' : file)
  }
  for (const form of [['--exits', '--top', '2'], ['--json']]) {
    const args = ['predict', RUN, folder, ...form, '--quiet']
    const one = await alone(...args)
    assert.is(one.code, 1)
    const [first, ...others] = await onRanks(3, args)
    assert.equal([first?.code, first?.stdout, first?.stderr], [1, one.stdout, one.stderr])
    for (const { code, stdout, stderr } of others) assert.equal([code, stdout, stderr], [0, '', ''])
  }
  const two = ['predict', RUN, path.join(folder, '100ü.png'), path.join(folder, '102ü.png')]
  const [first] = await onRanks(3, two)
  assert.is(first?.stdout, (await alone(...two)).stdout)
  for (const { code, stderr } of await onRanks(2, [
    'predict',
    RUN,
    path.join(folder, '101ü.png'),
  ])) {
    assert.is(code, 1)
    assert.match(stderr, /rank \d: Cannot read the image .*101ü\.png/)
  }
  const differing = await onRanks(2, (rank) => [
    'predict',
    RUN,
    path.join(folder, `10${rank}ü.png`),
  ])
  for (const { code, stderr } of differing) {
    assert.is(code, 2)
    assert.match(stderr, /do not agree: namesSha256 is "\w+" on rank 1/)
  }
})

test('ranks with another run, other weights or none refuse, and rank 0 alone says it as JSON', async () => {
  const others = await onRanks(2, (rank) => ['evaluate', rank === 1 ? OTHER : RUN, '--json'])
  for (const { code, stderr } of others) {
    assert.is(code, 2)
    assert.match(stderr, /do not agree: weightsSha256 is/)
  }
  assert.is(JSON.parse(others[0]?.stdout ?? '').error.code, 'ERR_CONFIG')
  assert.is(others[1]?.stdout, '')
  const [first, second] = await onRanks(2, (rank) => [
    ...['evaluate', rank === 1 ? path.join(root, 'none') : RUN, '--json'],
  ])
  assert.is(second?.code, 1)
  assert.match(second?.stderr ?? '', /rank 1: There is no .*none \[ERR_CHECKPOINT\]/)
  assert.is(first?.code, 1)
  assert.match(JSON.parse(first?.stdout ?? '').error.message, /Rank 1 failed: There is no .*none/)
  const [lone] = await onRanks(1, ['evaluate', RUN], () => ({ RANK: undefined, WORLD_SIZE: '2' }))
  assert.is(lone?.code, 2)
  assert.match(lone?.stderr ?? '', /WORLD_SIZE is set and RANK is not \[ERR_CONFIG\]/)
  const flag = await alone('evaluate', RUN, '--join-timeout', '3')
  assert.match(flag.stderr, /`--join-timeout` goes with several ranks/)
})

/** Images for longer than any test waits, of a module that says that it was read. */
const ENDLESS = path.join(root, 'endless.mjs')
const API = path.join(DIST, 'lib/index.js')

async function whileEvaluating(signal: NodeJS.Signals, rank: number): Promise<readonly Ended[]> {
  writeFileSync(
    ENDLESS,
    `import { openDataset } from ${JSON.stringify(API)}
const { train } = await openDataset('synthetic')
const count = 200_000
const images = Buffer.alloc(count * 3072)
for (let at = 0; at < images.length; at += train.images.length) images.set(train.images.subarray(0, Math.min(train.images.length, images.length - at)), at)
const labels = Uint8Array.from({ length: count }, (_, k) => k % 10)
const split = { ...train, name: 'test', count, images, labels }
process.stderr.write('stepping')
export default { ...(await openDataset('synthetic')), test: split }
`,
  )
  const args = ['evaluate', RUN, '--data-module', ENDLESS, '--batch-size', '4', '--quiet']
  const { children, ended, stepping } = await started(2, () => args)
  await stepping
  await delay(3000)
  children[rank]?.kill(signal)
  return Promise.all(ended)
}

for (const rank of [0, 1]) {
  test(`Ctrl-C of rank ${rank} alone ends all, as an interruption`, async () => {
    const all = await whileEvaluating('SIGINT', rank)
    assert.equal(
      all.map(({ code }) => code),
      [130, 130],
    )
    assert.match(all[0]?.stderr ?? '', /localformer: interrupted/)
    assert.not.match(all[1]?.stderr ?? '', /interrupted|error/)
  })

  test(`rank ${rank}, killed while it evaluates, is named by the other`, async () => {
    const all = await whileEvaluating('SIGKILL', rank)
    assert.is(all[1 - rank]?.code, 1)
    assert.match(all[1 - rank]?.stderr ?? '', new RegExp(`rank ${rank}.*ERR_DISTRIBUTED`))
  })
}

test('what ranks do not share is done by rank 0, or by the first rank of each host', async () => {
  const args = ['summary', '--variant', 'micro', '--json']
  const one = await alone(...args)
  assert.is(one.code, 0, one.stderr)
  const [first, second] = await onRanks(2, args)
  assert.equal([first?.code, first?.stdout], [0, one.stdout])
  assert.equal([second?.code, second?.stdout], [0, ''])
  assert.is(
    second?.stderr,
    'localformer, rank 1: nothing to do here; `summary` is not shared, rank 0 does it\n',
  )
  // Two hosts.
  const hosts = await onRanks(2, ['libtorch', 'list'], () => ({ LOCAL_RANK: '0' }))
  assert.equal(
    hosts.map(({ code, stdout }) => [code, stdout.length > 0]),
    [
      [0, true],
      [0, true],
    ],
  )
  // Rank 1 says nothing of what is wrong with a command line as JSON.
  const wrong = await onRanks(2, ['summary', '--varant', 'micro', '--json'])
  assert.is(JSON.parse(wrong[0]?.stdout ?? '').error.code, 'ERR_USAGE')
  assert.equal([wrong[1]?.code, wrong[1]?.stdout], [2, ''])
  // Variables that are no place in a group are not looked at where none is needed.
  const stray = await onRanks(1, args, () => ({ RANK: '7', WORLD_SIZE: undefined }))
  assert.equal([stray[0]?.code, stray[0]?.stdout], [0, one.stdout])
})

test.run()

// `compare --ranks`: several processes beside one, on the same batches.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { CompareResult } from '../../lib/measure/compare.js'
import { DIST, run, startProgram } from '../helpers/child.js'

const NETWORK = ['--dataset', 'synthetic', '--variant', 'micro', '--image-size', '32']
const BRIEF = ['--batch-size', '16', '--steps', '4', '--device', 'cpu', '--quiet']
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-compare-'))

test.after(() => rmSync(folder, { recursive: true, force: true }))

const MAIN = path.join(DIST, 'lib/cli/main.js')
const command = (args: readonly string[]) => [MAIN, 'compare', ...NETWORK, ...BRIEF, ...args]

async function compare(...args: readonly string[]): Promise<CompareResult> {
  const { code, stdout, stderr } = await run(command([...args, '--json']))
  assert.is(code, 0, stderr)
  return JSON.parse(stdout) as CompareResult
}

test('a row for one process and for each way of sharing, with the same losses', async () => {
  const file = path.join(folder, 'result.json')
  const threads = ['--threads', '1']
  const result = await compare('--run', 'paper:4', '--ranks', '1,2', ...threads, '--output', file)
  assert.equal(JSON.parse(readFileSync(file, 'utf8')), result)
  assert.equal(
    result.rows.map(({ ranks, parallel, threads }) => [ranks, parallel, threads]),
    [
      [1, null, 1],
      [2, 'data', 1],
      [2, 'modules', 1],
    ],
  )
  const lossesOf = (row: number) =>
    result.rows[row]?.perModule.flatMap(({ labelLoss, reconstructionLoss, accuracy }) => [
      ...[labelLoss, reconstructionLoss, accuracy],
    ]) as number[]
  assert.equal(lossesOf(2), lossesOf(0))
  lossesOf(1).forEach((loss, k) => {
    const wanted = lossesOf(0)[k] as number
    assert.ok(Math.abs(loss - wanted) <= 1e-5 * Math.abs(wanted), `${loss}, ${wanted}`)
  })
  const [one, data, modules] = result.rows.map(({ perRank }) => perRank)
  assert.equal(one, [])
  assert.equal(
    modules?.map(({ rank, receivedBytes }) => [rank, receivedBytes > 0]),
    [
      [0, false],
      [1, true],
    ],
  )
  assert.equal(
    modules?.flatMap((rank) => rank.modules),
    ['module 1', 'module 2', 'module 3', 'module 4'],
  )
  for (const { sentBytes, receivedBytes, waitedShare, modules: own } of data ?? []) {
    assert.is(own.length, 4)
    assert.is(sentBytes, receivedBytes)
    assert.ok(sentBytes > 0 && waitedShare >= 0 && waitedShare <= 1)
  }
  for (const { perRank, residentBytes, peakAllocatedBytes, ...row } of result.rows.slice(1)) {
    assert.is(residentBytes, Math.max(...perRank.map((rank) => rank.residentBytes)))
    assert.is(peakAllocatedBytes, Math.max(...perRank.map((rank) => rank.peakAllocatedBytes)))
    assert.is(row.imagesPerSecond, 16 / (row.stepSeconds?.median ?? 0))
    assert.ok((row.timeVsFirst ?? 0) > 0)
  }
})

test('end-to-end training is shared too, and the table has every rank', async () => {
  const args = ['--run', 'backprop', '--run', 'paper:2', '--ranks', '2,1', '--parallel', 'data']
  const { code, stdout, stderr } = await run(command(args), { RANK: '0', WORLD_SIZE: '1' })
  assert.is(code, 0, stderr)
  assert.match(stdout, /^run +ranks +threads +images\/s +allocated/m)
  assert.match(stdout, /^backprop +2 data +1 +[\d.e+]+ +/m)
  assert.match(stdout, /^paper:2 +1 +1 +[\d.e+]+ +/m)
  assert.match(stdout, /^run +ranks +rank +modules +resident +peak +sent +received +waited$/m)
  assert.is(stdout.match(/^paper:2 +2 data +[01] +1, 2 .* %$/gm)?.length, 2)
})

test('without --ranks nothing is shared, and the table is as ever', async () => {
  const { code, stdout } = await run(command(['--run', 'paper:2', '--threads', '1']))
  assert.is(code, 0)
  assert.match(stdout, /^run +allocated +reserved +saved/m)
  assert.match(stdout, 'on cpu (1 thread), LibTorch')
  assert.not.match(stdout, 'ranks')
})

test('a group whose memory runs out on one rank is a row of its own', async () => {
  const { rows } = await compare(
    ...['--run', 'paper:2', '--ranks', '1,2', '--parallel', 'data', '--memory-limit', '10MiB'],
  )
  assert.equal(
    rows.map(({ status, ranks, perRank }) => [status, ranks, perRank]),
    [
      ['out_of_memory', 1, []],
      ['out_of_memory', 2, []],
    ],
  )
})

test('what cannot be shared is refused before anything runs', async () => {
  for (const [args, code, text] of [
    [['--run', 'paper:2', '--ranks', '1,3', '--parallel', 'modules'], 2, 'more than its 2 modules'],
    [['--run', 'paper:2', '--ranks', '3', '--parallel', 'data'], 2, 'cannot be shared by 3 ranks'],
    [['--run', 'paper:2', '--ranks', '1,'], 2, 'a list of different whole numbers'],
    [['--run', 'paper:2', '--parallel', 'data'], 2, '`--parallel` goes with `--ranks`'],
    [['--run', 'paper:2', '--ranks', '2', '--threads', '0'], 2, 'for `threads` but received 0'],
    [
      ['--run', 'paper:2', '--ranks', '2', '--memory-snapshot', path.join(folder, 'a.pickle')],
      ...([2, 'is for one process'] as const),
    ],
  ] as const) {
    const ended = await run(command(args))
    assert.is(ended.code, code, ended.stderr)
    assert.match(ended.stderr, text)
    assert.is(ended.stdout, '')
  }
  assert.not.ok(existsSync(path.join(folder, 'a.pickle')))
})

test('Ctrl-C ends the processes of a group with the command', async () => {
  const args = ['--run', 'paper:2', '--ranks', '2', '--parallel', 'data', '--rounds', '200']
  const loud = command(args).filter((word) => word !== '--quiet')
  const { child, stderr, ended } = startProgram(process.execPath, loud, { CI: '1' }, 120_000)
  await new Promise<void>((resolve) => {
    child.stderr?.on('data', () => {
      if (/Measuring/.test(stderr())) resolve()
    })
    child.on('close', () => resolve())
  })
  child.kill('SIGINT')
  const { code } = await ended
  assert.is(code, 130)
})

test.run()

// The command line of `npm run bench`, and the cases that it names.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRunSpec } from '../../../../lib/local/run-spec.js'
import { ROOT } from '../../../../scripts/lib/script.js'
import { CASES } from '../../../bench/speed/cases.js'
import { isOwn } from '../../../bench/speed/contender.js'
import { HELP, parseOptions } from '../../../bench/speed/options.js'
import { DIST, run } from '../../../helpers/child.js'

test('without arguments every case runs in three rounds', () => {
  const { cases, rounds, quick, json, print } = parseOptions([])
  assert.is(cases.length, CASES.length)
  assert.equal(
    { rounds, quick, json, print },
    { rounds: 3, quick: false, json: undefined, print: undefined },
  )
})

test('cases run in the order in which they are named', () => {
  const { cases, rounds, json } = parseOptions([
    'paper-4',
    'floor',
    '--rounds',
    '5',
    '--json',
    'a.json',
  ])
  assert.equal(
    cases.map(({ name }) => name),
    ['paper-4', 'floor'],
  )
  assert.equal({ rounds, json }, { rounds: 5, json: 'a.json' })
})

test('--quick is one round of two steps, unless rounds are given', () => {
  const { cases, rounds } = parseOptions(['paper-4', '--quick'])
  const shape = cases[0]?.contenders[0]?.shape
  assert.equal([rounds, shape?.warmup, shape?.steps], [1, 1, 2])
  assert.is(parseOptions(['paper-4', '--quick', '--rounds', '2']).rounds, 2)
})

test('it measures alone, unless busy processes are asked for', () => {
  assert.is(parseOptions([]).beside, 0)
  assert.is(parseOptions(['--beside', '6']).beside, 6)
})

test('a contender may take 20 minutes, or as long as is said', () => {
  assert.is(parseOptions([]).limitSeconds, 1200)
  assert.is(parseOptions(['--limit', '60']).limitSeconds, 60)
})

const WRONG: readonly [string[], RegExp][] = [
  [['floor', '--picture', 'a.svg'], /`--picture` draws the case growth/],
  [
    ['paper4'],
    /Expected one of e2e-224-f32, .* for `CASE` but received "paper4"; did you mean paper-4/,
  ],
  [['--rounds', '0'], /Expected a whole number from 1 to 100 for `--rounds` but received "0"/],
  [['--rounds', 'two'], /--rounds/],
  [['--threads', '1.5'], /--threads/],
  [['--beside', '-1'], /--beside/],
  [['--limit', '0'], /Expected a whole number from 1 to 86400 for `--limit` but received "0"/],
  [['--beside', '5000'], /Expected a whole number from 0 to 4096 for `--beside`/],
  [['--reference', 'nobody'], /Expected the name of a contender/],
  [['--without', 'nobody'], /Expected the name of a contender/],
  [['--fast'], /Unknown option '--fast'/],
  [['--json'], /'--json <value>' argument missing/],
]
for (const [args, message] of WRONG) {
  test(`${args.join(' ')} is refused`, () => {
    assert.throws(
      () => parseOptions(args),
      (error: { code?: string; message: string }) =>
        error.code === 'ERR_USAGE' && message.test(error.message),
    )
  })
}

test('the command prints help and the list, and ends with 2 where it is used wrongly', async () => {
  const main = path.join(DIST, 'test/bench/speed.js')
  const help = await run([main, '--help'])
  assert.equal([help.code, help.stdout.trimEnd()], [0, HELP])
  const list = await run([main, '--list', 'paper-4'])
  assert.is(list.code, 0)
  assert.match(
    list.stdout,
    /^paper-4: .*\n {2}backprop\n {2}paper:4\n {2}paper:4,recompute=selective\n {2}paper:4,decoder=transformer\n$/,
  )
  const wrong = await run([main, 'nothing'])
  assert.is(wrong.code, 2)
  assert.match(wrong.stderr, /^bench: Expected one of .*\n`npm run bench -- --help`\n$/)
})

test('the other benchmarks end with 2 too, without a stack', async () => {
  for (const [args, message] of [
    [['fits.js', '--nothing'], /^bench:fits: Unknown option '--nothing'.*\n$/],
    [['plan.js', 'nothing'], /^bench:plan: Expected one of memory, .* received "nothing"\n$/],
  ] as const) {
    const [file, ...rest] = args
    const { code, stderr } = await run([path.join(DIST, 'test/bench', file), ...rest])
    assert.is(code, 2)
    assert.match(stderr, message)
  }
})

test('contenders can be left out', () => {
  const { cases } = parseOptions([
    'e2e-224-f32',
    'paper-4',
    '--without',
    'timm',
    '--without',
    'paper:4',
  ])
  const names = cases.map(({ contenders }) => contenders.map(({ name }) => name))
  assert.not(names[0]?.includes('timm'))
  assert.equal(names[1], ['backprop', 'paper:4,recompute=selective', 'paper:4,decoder=transformer'])
})

test('every case has contenders by names of their own, whose references and programs are there', () => {
  assert.is(new Set(CASES.map(({ name }) => name)).size, CASES.length)
  for (const { name, reference, contenders } of CASES) {
    const names = contenders.map((one) => one.name)
    assert.is(new Set(names).size, names.length, name)
    for (const { against = reference, work } of contenders) {
      assert.ok(names.includes(against), `${name}: ${against}`)
      if (isOwn(work)) parseRunSpec(work.spec)
      else assert.ok(existsSync(path.join(ROOT, 'test/bench/speed/peers', work.program)))
    }
  }
})

test.run()

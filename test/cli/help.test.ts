// The command line itself: help, version, and errors in text and as JSON. Runs without LibTorch.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { commands } from '../../lib/cli/commands/index.js'

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const manifest = fileURLToPath(new URL('../../../package.json', import.meta.url))
const NAMES = commands.map(({ command }) => `${command}`.split(' ')[0] as string)
let cache: string

test.before(() => {
  cache = mkdtempSync(path.join(tmpdir(), 'localformer-help-'))
})

test.after(() => rmSync(cache, { recursive: true, force: true }))

/** Runs where there is no LibTorch and no network. */
function localformer(...args: string[]) {
  const env = { ...process.env, LOCALFORMER_CACHE: cache, LOCALFORMER_OFFLINE: '1' }
  for (const name of ['LOCALFORMER_LIBTORCH', 'LIBTORCH', 'LOCALFORMER_DEBUG']) {
    delete (env as NodeJS.ProcessEnv)[name]
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    env,
    encoding: 'utf8',
  })
  return { code: status, stdout, stderr }
}

/** The error document of a run with --json, after checks that hold for every one. */
function errorOf(...args: string[]) {
  const { code, stdout, stderr } = localformer(...args, '--json')
  const { schema, error } = JSON.parse(stdout)
  assert.is(schema, 1)
  assert.match(stderr, `[${error.code}]`)
  assert.not.match(stderr, /^ +at /m)
  return { code, error }
}

test('--help lists every command', () => {
  const { code, stdout, stderr } = localformer('--help')
  assert.is(code, 0)
  assert.is(stderr, '')
  for (const name of NAMES) assert.match(stdout, new RegExp(`^  localformer ${name}\\b`, 'm'))
  for (const name of ['json', 'quiet', 'version', 'help']) assert.match(stdout, `--${name}`)
})

for (const name of NAMES) {
  test(`${name} --help says what it does and takes`, () => {
    const { code, stdout, stderr } = localformer(name, '--help')
    assert.is(code, 0, stderr)
    assert.match(stdout, new RegExp(`^localformer ${name}`))
    assert.match(stdout, '--json')
  })
}

test('--version prints that of the package', () => {
  const { code, stdout } = localformer('--version')
  assert.is(code, 0)
  assert.is(stdout.trim(), JSON.parse(readFileSync(manifest, 'utf8')).version)
})

test('without a command, and with an unknown one, the commands are named', () => {
  for (const args of [[], ['frobnicate'], ['summry']]) {
    const { code, error } = errorOf(...args)
    assert.is(code, 2)
    assert.is(error.code, 'ERR_USAGE')
    for (const name of NAMES) assert.match(error.hint ?? '', name)
  }
  assert.match(errorOf('summry').error.message, 'summary')
})

test('an unknown command of a command is answered with those it has', () => {
  const { code, error } = errorOf('libtorch', 'frobnicate')
  assert.is(code, 2)
  assert.is(error.code, 'ERR_USAGE')
  for (const name of ['install', 'where', 'list', 'remove']) assert.match(error.hint ?? '', name)
})

test('an unknown option is named once, with those that are allowed', () => {
  const { code, error } = errorOf('summary', '--image-siz', '32')
  assert.is(code, 2)
  assert.is(error.code, 'ERR_USAGE')
  assert.match(error.message, 'image-siz')
  assert.not.match(error.message, 'imageSiz')
  for (const name of ['--image-size', '--variant', '--json']) assert.match(error.hint ?? '', name)
})

test('an unknown value is answered with the allowed ones', () => {
  const { code, error } = errorOf('summary', '--variant', 'huge')
  assert.is(code, 2)
  assert.is(error.code, 'ERR_USAGE')
  for (const word of ['huge', 'tiny', 'small', 'base', 'micro']) assert.match(error.message, word)
})

test('an option without its value is bad usage', () => {
  const { code, error } = errorOf('summary', '--image-size')
  assert.is(code, 2)
  assert.is(error.code, 'ERR_USAGE')
  assert.match(error.message, 'image-size')
})

const CONFIGURATIONS: [string[], RegExp][] = [
  [['--image-size', '0'], /Expected a whole number from 1 to 4096 for `imageSize` but received 0/],
  [['--image-size', 'big'], /`imageSize` but received NaN/],
  [['--classes', '2', '--classes', '3'], /`classes` but received \[2,3\]/],
  [['--device', 'tpu'], /Expected cpu, cuda, cuda:N or auto for `device` but received "tpu"/],
  [['--run', 'magic:4'], /the method is one of backprop, paper, greedy/],
  [
    ['--run', 'paper:4,color=red'],
    /unknown key "color"; allowed are decoder, split, hidden, chunk/,
  ],
  [['--run', 'paper:9'], /cannot be cut into 9 modules/],
]

for (const [args, message] of CONFIGURATIONS) {
  test(`summary ${args.join(' ')} is a configuration error, told without LibTorch`, () => {
    const { code, error } = errorOf('summary', ...args)
    assert.is(code, 2)
    assert.is(error.code, 'ERR_CONFIG')
    assert.match(error.message, message)
  })
}

test('a correct configuration without LibTorch says how to get it', () => {
  const { code, error } = errorOf('summary', '--device', 'cpu')
  assert.is(code, 1)
  assert.is(error.code, 'ERR_LIBTORCH_NOT_FOUND')
  assert.match(error.hint, 'localformer libtorch install')
  assert.ok(error.candidates.length > 0)
})

test('an error in text goes to standard error alone', () => {
  const { code, stdout, stderr } = localformer('summary', '--device', 'tpu')
  assert.is(code, 2)
  assert.is(stdout, '')
  assert.match(stderr, /^localformer: Expected cpu, .* \[ERR_CONFIG\]$/m)
})

test.run()

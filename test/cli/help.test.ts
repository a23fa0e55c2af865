// The command line itself: help, version, and errors in text and as JSON. Runs without LibTorch.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { CommandModule } from 'yargs'
import { commands } from '../../lib/cli/commands/index.js'

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const manifest = fileURLToPath(new URL('../../../package.json', import.meta.url))
const NAMES = commands.map(({ command }) => `${command}`.split(' ')[0] as string)
let cache: string

test.before(() => {
  cache = mkdtempSync(path.join(tmpdir(), 'localformer-help-'))
})

test.after(() => rmSync(cache, { recursive: true, force: true }))

/** An environment without LibTorch and network. */
function bareEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env, LOCALFORMER_CACHE: cache, LOCALFORMER_OFFLINE: '1' }
  for (const name of ['LOCALFORMER_LIBTORCH', 'LIBTORCH', 'LOCALFORMER_DEBUG']) {
    delete (env as NodeJS.ProcessEnv)[name]
  }
  return env
}

/** Runs there. */
function localformer(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    env: bareEnvironment(),
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

test('an unknown option is named once, with what was meant and where the others stand', () => {
  const { code, error } = errorOf('summary', '--image-siz', '32')
  assert.is(code, 2)
  assert.is(error.code, 'ERR_USAGE')
  assert.is(error.message, 'Unknown option: --image-siz')
  assert.is(
    error.hint,
    'Did you mean --image-size? `localformer summary --help` lists the options.',
  )
  for (const name of ['--image-size', '--variant', '--json'])
    assert.ok(error.allowed.includes(name))
  const { stderr } = localformer('summary', '--image-siz', '32')
  assert.is(stderr.trimEnd().split('\n').length, 2)
})

const MEANT: [string[], string][] = [
  [['train', '--learningrate', '1'], 'Did you mean --learning-rate? '],
  [['train', '--bach-size', '1', '--epoch', '1'], 'Did you mean --batch-size for --bach-size, '],
  [['dataset', 'fetch', 'x', '--form', 'y'], 'Did you mean --from? `localformer dataset fetch '],
  [
    ['libtorch', 'install', '--forse'],
    'Did you mean --force? `localformer libtorch install --help`',
  ],
  [['evaluate', 'x', '--entirely-new', '1'], '`localformer evaluate --help` lists the options.'],
]

for (const [args, hint] of MEANT) {
  test(`${args.join(' ')} is answered with what was meant`, () => {
    assert.ok(errorOf(...args).error.hint.startsWith(hint), errorOf(...args).error.hint)
  })
}

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

interface OptionFacts {
  readonly type?: string
  readonly requiresArg?: boolean
  readonly describe?: string
}

/** `command --option` -> how it is declared, of a command and of those in it. */
function optionsOf(command: CommandModule<never, never>, above = ''): Map<string, OptionFacts> {
  const name = `${above}${`${command.command}`.split(' ')[0]}`
  const found = new Map<string, OptionFacts>()
  const add = (option: string, facts: OptionFacts) => found.set(`${name} --${option}`, facts)
  // Stands in for yargs: writes down options, walks into commands, ignores all else.
  const recorder: unknown = new Proxy(
    {},
    {
      get: (_, method) => (first: never, second: never) => {
        if (method === 'option' || method === 'options') {
          if (typeof first === 'string') add(first, second)
          else
            for (const [option, facts] of Object.entries(first)) add(option, facts as OptionFacts)
        }
        if (method === 'command') {
          for (const [key, facts] of optionsOf(first, `${name} `)) found.set(key, facts)
        }
        return recorder
      },
    },
  )
  if (typeof command.builder === 'function') command.builder(recorder as never)
  return found
}

test('every option that is no flag needs its value, in every command', () => {
  const all = commands.flatMap((command) => [...optionsOf(command as never)])
  const names = all.map(([name]) => name)
  for (const name of ['train --max-steps', 'dataset fetch --from', 'libtorch where --path']) {
    assert.ok(names.includes(name), name)
  }
  for (const [name, { type, requiresArg, describe }] of all) {
    assert.ok(describe, `${name} says what it is`)
    if (type !== 'boolean') assert.ok(requiresArg, name)
  }
})

test('help keeps words whole', () => {
  for (const name of ['train', 'evaluate', 'report', 'summary']) {
    const words = new Set(localformer(name, '--help').stdout.split(/\s+/))
    const described = commands
      .filter(({ command }) => `${command}`.startsWith(name))
      .flatMap((command) => [...optionsOf(command as never).values()])
      .flatMap(({ describe = '' }) => describe.split(/\s+/))
    for (const word of described) assert.ok(words.has(word), `${name} --help breaks ${word}`)
  }
})

const USAGE: [string[], RegExp][] = [
  [['train', '--run', 'a', '--run', 'b'], /^`--run` was given twice$/],
  [['train', '--run-dir', 'a', '--run-dir=b'], /^`--run-dir` was given twice$/],
  [['train', '--run-dir', 'a', '--runDir', 'b'], /^`--run-dir` was given twice$/],
  [['train', '--epochs', '1', '--epochs', '1'], /^`--epochs` was given twice$/],
  [['train', '--epochs', '3', '--epochs', '1'], /^`--epochs` was given twice$/],
  [['train', '--flip', '--no-flip'], /^`--flip` was given twice$/],
  [['summary', '--classes', '2', '--classes', '3'], /^`--classes` was given twice$/],
  [['--device', 'cpu', 'summary', '--device', 'cpu'], /^`--device` was given twice$/],
  [['dataset', 'info', 'cifar10', '--data-dir', 'a', '--data-dir', 'b'], /`--data-dir` was given/],
  [['libtorch', 'where', '--path', 'a', '--path', 'b'], /^`--path` was given twice$/],
  [['train', '--no-run'], /^Unknown option: --no-run$/],
  [['train', '--no-seed'], /^Unknown option: --no-seed$/],
  [['train', '--run.x', '1'], /^Unknown option: --run.x$/],
  [['train', '--epochs', 'three'], /^Expected a number for `--epochs` but received "three"$/],
  [['train', '--warmup=50%'], /^Expected a number for `--warmup` but received "50%"$/],
  [['summary', '--image-size', 'big'], /^Expected a number for `--image-size` but received "big"$/],
  [['summary', '--imageSize', '2x'], /^Expected a number for `--image-size` but received "2x"$/],
  [['train', '--seed='], /^Expected a number for `--seed` but received ""$/],
  [['train', '--max-steps', '--quiet'], /^`--max-steps` needs a value$/],
  [['train', '--epochs'], /^`--epochs` needs a value$/],
  [['compare', '--run'], /^`--run` needs a value$/],
  [['evaluate'], /^Expected <run> after `evaluate`$/],
  [['dataset', 'fetch'], /^Expected <name> after `dataset fetch`$/],
  [['train', 'extra'], /^Unexpected argument extra$/],
  [['train', 'more', 'extra'], /^Unexpected arguments more, extra$/],
  [['evaluate', 'run', 'extra'], /^Unexpected argument extra$/],
  [['libtorch', 'list', 'extra'], /^Unexpected argument extra$/],
]

for (const [args, message] of USAGE) {
  test(`${args.join(' ')} is bad usage`, () => {
    const { code, error } = errorOf(...args)
    assert.is(code, 2)
    assert.is(error.code, 'ERR_USAGE')
    assert.match(error.message, message)
  })
}

test('--json counts in every spelling and place, but not behind --', () => {
  for (const args of [
    ['frobnicate', '--json=true'],
    ['--json', 'frobnicate'],
    ['train', '--device', '--json'],
  ]) {
    const { code, stdout } = localformer(...args)
    assert.is(code, 2)
    assert.is(JSON.parse(stdout).error.code, 'ERR_USAGE', args.join(' '))
  }
  for (const args of [
    ['frobnicate', '--', '--json'],
    ['frobnicate', '--json=false'],
  ]) {
    assert.is(localformer(...args).stdout, '', args.join(' '))
  }
})

test('an error that nobody foresaw has a document too, without a code', () => {
  const broken = `import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    fs.existsSync = () => { throw new TypeError('broken on purpose') }
    syncBuiltinESMExports()`
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...['--import', `data:text/javascript,${encodeURIComponent(broken)}`],
      ...[main, 'libtorch', 'where', '--json'],
    ],
    { env: bareEnvironment(), encoding: 'utf8' },
  )
  assert.is(status, 1)
  assert.equal(JSON.parse(stdout), {
    schema: 1,
    error: { code: null, message: 'broken on purpose', hint: null },
  })
  assert.match(stderr, /^localformer: unexpected error\nTypeError: broken on purpose\n +at /)
})

test('a result that cannot be written is told before anything is measured', () => {
  mkdirSync(path.join(cache, 'folder'))
  const compare = ['compare', '--dataset', 'synthetic', '--run', 'backprop', '--output']
  for (const [file, reason] of [
    [path.join(cache, 'nowhere', 'result.json'), /there is no folder .*nowhere$/],
    [path.join(main, 'result.json'), /there is no folder .*main.js$/],
    [path.join(cache, 'folder'), /it is a folder$/],
  ] as const) {
    const { code, error } = errorOf(...compare, file)
    assert.is(code, 2)
    assert.is(error.code, 'ERR_CONFIG')
    assert.match(error.message, file)
    assert.match(error.message, reason)
  }
  assert.equal(readdirSync(path.join(cache, 'folder')), [])
})

test('a reader that goes away ends the command without a word', async () => {
  const child = spawn(process.execPath, [main, 'libtorch', 'list'], {
    env: bareEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()
  let stderr = ''
  child.stderr.on('data', (text) => {
    stderr += text
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  assert.is(stderr, '')
  assert.is(code, 141)
})

const CONFIGURATIONS: [string[], RegExp][] = [
  [['--image-size', '0'], /Expected a whole number from 1 to 4096 for `imageSize` but received 0/],
  [
    ['--device', 'tpu'],
    /Expected cpu, cuda, cuda:N, auto or a simulated card such as sim:rtx3060 for `device` but received "tpu"/,
  ],
  [['--run', 'magic:4'], /the method is one of backprop, paper, infopro, greedy, trgl/],
  [
    ['--run', 'paper:4,color=red'],
    /unknown key "color"; allowed are split, target, decoder, hidden/,
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

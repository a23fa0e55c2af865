// config print, validate and schema, and train's flags, as a user runs them.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { configFlags } from '../../lib/cli/config-flags.js'
import { resolveConfig } from '../../lib/config/resolve.js'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-config-'))

function run(args: readonly string[], input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'utf8',
    cwd: folder,
    input,
  })
  return { status, stdout, stderr }
}

/** The resolved configuration of these flags. */
function printed(args: readonly string[], input?: string) {
  const { status, stdout, stderr } = run(['config', 'print', '--json', ...args], input)
  assert.is(status, 0, stderr)
  return JSON.parse(stdout)
}

function file(name: string, text: string): string {
  writeFileSync(path.join(folder, name), text)
  return name
}

test('a flag is over the file, the file over the preset, the preset over the defaults', () => {
  const config = file('run.yaml', 'preset: trial\ntraining: {epochs: 7}\ndevice: cpu\nseed: 3\n')
  assert.equal(printed(['--config', config]), {
    ...resolveConfig({ preset: 'trial', training: { epochs: 7 }, device: 'cpu', seed: 3 }),
  })
  const flags = ['--seed', '4', '--no-flip', '--device', 'auto', '--learning-rate', '1,2,3,4']
  const over = printed(['--config', config, ...flags, '--preset', 'quick'])
  assert.is(over.seed, 4)
  assert.is(over.device, 'auto')
  assert.is(over.training.flip, false)
  assert.is(over.training.epochs, 7)
  assert.equal(over.training.learningRate, [1, 2, 3, 4])
  assert.is(over.dataset.trainLimit, resolveConfig({ preset: 'quick' }).dataset.trainLimit)
})

test('parts of the run spec are flags', () => {
  assert.is(printed(['--method', 'paper', '--modules', '4']).run, 'paper:4')
  const many = ['--method', 'greedy', '--split', 'balanced', '--dtype', 'bfloat16']
  assert.is(printed(many).run, 'greedy:4,split=balanced,dtype=bfloat16')
  assert.is(printed(['--math', 'mkl']).run, 'paper:4,math=mkl')
  const config = file('spec.yaml', 'run: paper:4,decoder=conv\n')
  assert.is(printed(['--config', config, '--decoder', 'linear']).run, 'paper:4,decoder=linear')
  assert.is(printed(['--run', 'paper:2', '--label-weight', '0..2']).run, 'paper:2,a=0..2')
  const { status, stderr } = run(['config', 'print', '--run', 'paper:2', '--modules', '3'])
  assert.is(status, 2)
  assert.match(stderr, '`--run paper:2` and `--modules 3` contradict each other')
})

test('every value but lists of mappings has a flag, and the flag sets it', () => {
  const values: Readonly<Record<string, string>> = {
    ...{ run: 'greedy:2', init: 'a.safetensors', dataset: 'synthetic', variant: 'micro' },
    ...{ 'data-dir': 'photos', optimizer: 'sgd', schedule: 'sequential', betas: '0.5,0.6' },
    ...{ depths: '1,1', heads: '1,2', 'image-size': '64', 'patch-size': '8', 'window-size': '2' },
    ...{ 'embed-dim': '32', 'learning-rate': '0.5', seed: '9', 'mlp-ratio': '2' },
  }
  const expected: Record<string, unknown> = {}
  const args = [...configFlags()].flatMap(([name, { path: at }]) => {
    const current = at.reduce<unknown>((o, key) => (o as never)?.[key], resolveConfig())
    if (typeof current === 'boolean') {
      expected[at.join('.')] = !current
      return [current ? `--no-${name}` : `--${name}`]
    }
    const word = values[name] ?? (typeof current === 'string' ? undefined : '1')
    if (word === undefined) return []
    const isMinute = ['warmup', 'drop-path', 'label-smoothing', 'momentum', 'ema'].includes(name)
    const value = isMinute ? '0.25' : word
    expected[at.join('.')] = value
    return [`--${name}`, value]
  })
  const config = printed(args)
  for (const [at, value] of Object.entries(expected)) {
    const found = at.split('.').reduce<unknown>((o, key) => (o as never)?.[key], config)
    assert.is(String(found), String(value), at)
  }
  assert.ok(Object.keys(expected).length >= 25)
})

test('what is printed can be read again, from standard input too', () => {
  const { stdout } = run(['config', 'print', '--preset', 'trgl', '--threads', '2'])
  assert.match(stdout, /^# Preset trgl: /)
  const config = resolveConfig({ preset: 'trgl', threads: 2 })
  assert.equal(printed(['--config', file('trgl.yaml', stdout)]), config)
  assert.equal(printed(['--config', '-'], stdout), config)
  const { status, stdout: said } = run(['config', 'validate', '-'], stdout)
  assert.is(status, 0)
  assert.match(said, /^Standard input is valid: trgl:4 on cifar10$/m)
})

test('validate tells every problem with its line, in text and as JSON', () => {
  const bad = file('bad.yaml', 'epochs: 3\nmodel:\n  imageSize: big\ntraining:\n  warmup: 2\n')
  const { status, stdout, stderr } = run(['config', 'validate', bad])
  assert.is(status, 2)
  assert.is(stdout, '')
  for (const part of [
    '3 problems in bad.yaml',
    'bad.yaml:1:1: Unknown name `epochs` (Did you mean `training.epochs`?)',
    'bad.yaml:3:3: Expected a whole number from 1 to 4096 for `model.imageSize` but received "big"',
    'bad.yaml:5:3: Expected a number from 0 to 1 for `training.warmup` but received 2',
    '[ERR_CONFIG]',
  ]) {
    assert.match(stderr, part)
  }
  const { error } = JSON.parse(run(['config', 'validate', bad, '--json']).stdout)
  assert.equal(
    error.problems.map(({ path: at }: { path: string }) => at),
    ['epochs', 'model.imageSize', 'training.warmup'],
  )
})

test('train refuses a bad configuration before anything is opened, and names the flag', () => {
  const bad = file('worse.yaml', 'training:\n  epochs: none\n')
  const wrong: readonly [readonly string[], string][] = [
    [['--config', bad], 'worse.yaml:2:3: Expected a whole number of at least 1'],
    [['--config', 'nowhere.yaml'], 'nowhere.yaml cannot be read: there is no such file'],
    [['--config', '.'], 'it is a folder'],
    [['--config', file('syntax.yaml', 'run: [1\nseed: 1')], 'syntax.yaml:2:1: '],
    [['--preset', 'tiny'], 'Expected one of trgl, trial, quick for `--preset`'],
    [['--batch-size', '0', '--epochs', '0'], '--epochs: Expected a whole number'],
    [['--betas', '0.9'], '--betas: Expected two numbers below 1'],
    [['--method', 'backprop', '--modules', '2'], '--method --modules: Run spec "backprop:2"'],
    [['--run', 'paper:4,hidden=7'], '--run: Run spec'],
    [['--learning-rate', '1,2'], '--learning-rate: Expected a number, or a list of 4'],
  ]
  for (const [args, part] of wrong) {
    const { status, stdout, stderr } = run(['train', '--dataset', 'synthetic', ...args])
    assert.is(status, 2, `${args.join(' ')}: ${stderr}`)
    assert.is(stdout, '')
    assert.match(stderr, part)
  }
})

test('schema prints JSON Schema for editors', () => {
  const { status, stdout } = run(['config', 'schema'])
  assert.is(status, 0)
  const { $schema, properties } = JSON.parse(stdout)
  assert.match($schema, 'draft-07')
  assert.equal(properties.preset.enum, ['trgl', 'trial', 'quick'])
})

test("a run folder's config.json makes the same run again", () => {
  const flags = ['--dataset', 'synthetic', '--variant', 'micro', '--seed', '2', '--max-steps', '2']
  const more = ['--batch-size', '8', '--test-limit', '0', '--method', 'greedy', '--modules', '2']
  const losses = (args: readonly string[], name: string) => {
    const { status, stderr } = run(['train', ...args, '--run-dir', name, '--quiet'])
    assert.is(status, 0, stderr)
    return readFileSync(path.join(folder, name, 'events.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === 'step')
      .map(({ modules }) => modules.map(({ labelLoss }: { labelLoss: number }) => labelLoss))
  }
  const first = losses([...flags, ...more], 'first')
  const recorded = JSON.parse(readFileSync(path.join(folder, 'first', 'config.json'), 'utf8'))
  assert.equal(resolveConfig(recorded), recorded)
  assert.is(recorded.run, 'greedy:2')
  assert.equal(losses(['--config', path.join('first', 'config.json')], 'second'), first)
  assert.is(first.length, 2)
})

test.run()

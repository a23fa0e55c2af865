// The configuration of a training run: layers in, one whole configuration or every problem out.

import { Ajv } from 'ajv'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { optimizerOptionsOf, trainOptionsOf } from '../../../lib/config/create.js'
import { parseConfig } from '../../../lib/config/file.js'
import { PRESET_NAMES } from '../../../lib/config/preset-names.js'
import { PRESETS } from '../../../lib/config/presets.js'
import { resolveConfig, resolveInput, resolveLayers } from '../../../lib/config/resolve.js'
import { changeRun } from '../../../lib/config/run-parts.js'
import type { TrainingConfigInput } from '../../../lib/config/schema.js'
import { configJsonSchema, configToYaml } from '../../../lib/config/text.js'
import { resolveTrainOptions } from '../../../lib/train/options.js'

import { rejects } from '../../helpers/expect.js'

interface Told {
  readonly path: string
  readonly message: string
  readonly hint: string | null
  readonly place: string | null
}

async function problemsOf(work: () => unknown): Promise<readonly Told[]> {
  const error = await rejects(work, 'ERR_CONFIG')
  return error.problems as readonly Told[]
}

const read = async (text: string) => resolveConfig((await parseConfig(text, 'run.yaml')).config)

test('what is left out has its default', () => {
  const config = resolveConfig()
  assert.is(config.run, 'paper:4')
  assert.is(config.dataset.name, 'cifar10')
  assert.is(config.model.imageSize, 32)
  assert.equal(config.optimizer, {
    ...{ name: 'adamw', weightDecay: 0.05, betas: [0.9, 0.999], eps: 1e-8, momentum: 0.9 },
    labelSmoothing: 0.1,
  })
  assert.equal(resolveConfig({ model: {}, training: {} }), config)
})

test('the loop has the options of train() and no others', () => {
  const { training, dataset, seed } = resolveConfig({ dataset: { trainLimit: 10, testLimit: 0 } })
  const { trainLimit, testLimit } = dataset
  const expected = resolveTrainOptions({ trainLimit: 10, testLimit: 0 })
  assert.equal({ ...training, seed, trainLimit, testLimit }, expected)
})

test('a later layer is over an earlier one, a preset below both', () => {
  const file = { preset: 'trial', seed: 1, training: { epochs: 7, batchSize: 32 } } as const
  const flags = { training: { epochs: 9 } }
  const { config } = resolveLayers([file, flags])
  assert.is(config.training.epochs, 9)
  assert.is(config.training.batchSize, 32)
  assert.is(config.dataset.trainLimit, 5000)
  assert.is(config.seed, 1)
  assert.is(config.model.patchSize, 4)
  assert.is(resolveLayers([file, { preset: 'quick' }]).config.dataset.trainLimit, 2000)
})

test('a value that is undefined counts as left out, a list replaces a list', () => {
  const layers = [{ run: 'greedy:2', training: { learningRate: [1, 2] } }, { run: undefined }]
  const { config } = resolveLayers([...layers, { training: { learningRate: [3, 4] } }])
  assert.is(config.run, 'greedy:2')
  assert.equal(config.training.learningRate, [3, 4])
})

test('every problem is told, with its place, in the order of the file', async () => {
  const text = [
    ...['run: papr:4', 'epochs: 3', 'model:', '  imageSize: big', '  windowsize: 4'],
    ...['training:', '  warmup: 2', '  learning_rate: 1', 'modules:', '  - learnRate: 1', '  - 5'],
    ...['optimizer: adamw', 'method: paper'],
  ].join('\n')
  const told = await problemsOf(() => read(text))
  assert.equal(
    told.map(({ path, place, hint }) => [path, place, hint]),
    [
      ['run', 'run.yaml:1:1', told[0]?.hint as string],
      ['epochs', 'run.yaml:2:1', 'Did you mean `training.epochs`?'],
      ['model.imageSize', 'run.yaml:4:3', null],
      ['model.windowsize', 'run.yaml:5:3', 'Did you mean `windowSize`?'],
      ['training.warmup', 'run.yaml:7:3', null],
      ['training.learning_rate', 'run.yaml:8:3', 'Did you mean `learningRate`?'],
      ['modules[0].learnRate', 'run.yaml:10:5', 'Did you mean `learningRate`?'],
      ['modules[1]', 'run.yaml:11:5', null],
      ['optimizer', 'run.yaml:12:1', null],
      ['method', 'run.yaml:13:1', 'It is a part of `run`, METHOD[:K][,key=value...].'],
    ],
  )
  assert.is(
    told[2]?.message,
    'Expected a whole number from 1 to 4096 for `model.imageSize` but received "big"',
  )
  assert.match(told[0]?.message ?? '', 'backprop, paper, infopro')
})

test('parts that do not go together are problems too', async () => {
  const wrong: readonly [TrainingConfigInput, string, RegExp][] = [
    [{ model: { windowSize: 3 } }, 'model', /window/],
    [{ model: { depths: [1, 1] } }, 'model', /one entry a stage/],
    [{ run: 'paper:9' }, 'run', /9 modules/],
    [{ run: 'paper:2', training: { learningRate: [1, 1, 1] } }, 'training.learningRate', /of 2/],
    [{ run: 'backprop', modules: [{}, {}] }, 'modules', /at most 1/],
    [
      { run: 'paper:2', training: { learningRate: [1, 1] }, modules: [null, { learningRate: 1 }] },
      ...(['modules[1].learningRate', /two learning rates/] as const),
    ],
  ]
  for (const [config, path, message] of wrong) {
    const [first, ...others] = await problemsOf(() => resolveConfig(config))
    assert.equal(others, [], path)
    assert.is(first?.path, path)
    assert.match(first?.message ?? '', message)
  }
})

test('what the parts came to is there beside them, for a run that is made of it', () => {
  const { config, spec, network } = resolveInput({ run: 'paper:2,decoder=conv', seed: 3 })
  assert.equal(config, resolveConfig({ run: 'paper:2,decoder=conv', seed: 3 }))
  assert.equal([spec.text, spec.decoder, spec.modules], [config.run, 'conv', 2])
  assert.equal([network.embedDim, network.windowSize, network.seed], [96, 4, 3])
})

test('what is no configuration at all is refused', async () => {
  for (const config of [null, 3, 'paper:4', []]) {
    await rejects(
      () => resolveConfig(config as never),
      'ERR_CONFIG',
      'a mapping of names to values',
    )
  }
})

for (const name of PRESET_NAMES) {
  test(`preset ${name} comes back the same through YAML and JSON`, async () => {
    const config = resolveConfig({ preset: name })
    assert.equal(await read(await configToYaml(config, `Preset ${name}`)), config)
    assert.equal(await read(JSON.stringify(config, null, 2)), config)
    assert.equal(resolveConfig(config), config)
  })
}

test('preset trgl has the numbers of its sources', () => {
  const { run, model, optimizer, training } = resolveConfig({ preset: 'trgl' })
  assert.is(run, 'trgl:4')
  assert.is(model.dropPath, 0.1)
  assert.equal([optimizer.betas, optimizer.weightDecay], [[0.9, 0.999], 0.05])
  assert.is(optimizer.labelSmoothing, 0.1)
  assert.equal([training.epochs, training.batchSize], [300, 1024])
  assert.is(Math.round(training.warmup * training.epochs), 20)
  assert.equal([training.cropPadding, training.flip], [4, true])
})

test('preset trial has the numbers of the trial', () => {
  const config = resolveConfig({ preset: 'trial' })
  const { run, dataset, model, optimizer, training } = config
  assert.match(run, 'dtype=bfloat16')
  assert.equal([dataset.trainLimit, dataset.testLimit], [5000, undefined])
  assert.equal([model.imageSize, model.patchSize, model.windowSize], [32, 4, 4])
  assert.equal([optimizer.weightDecay, optimizer.labelSmoothing, model.dropPath], [0.05, 0.1, 0.1])
  const { epochs, batchSize, learningRate, warmup, cropPadding } = training
  assert.equal([epochs, batchSize, learningRate, warmup, cropPadding], [30, 128, 1e-3, 0.05, 4])
  assert.is(training.evaluateEvery, epochs)
})

const accepts = new Ajv({ strict: true, strictTuples: false }).compile(configJsonSchema())

test('the JSON Schema accepts what the package does, and refuses what it refuses', async () => {
  const right: unknown[] = [{}, { $schema: 'x', preset: 'quick' }, { modules: [null, { eps: 1 }] }]
  for (const { config } of Object.values(PRESETS)) right.push(config)
  for (const name of PRESET_NAMES) right.push(resolveConfig({ preset: name }))
  for (const config of right) {
    assert.ok(accepts(config), JSON.stringify([config, accepts.errors]))
    resolveConfig(config as TrainingConfigInput)
  }
  const wrong: unknown[] = [
    ...[{ epochs: 3 }, { training: { epochs: 0 } }, { training: { epochs: 1.5 } }, { preset: 'x' }],
    ...[{ dataset: 'cifar10' }, { dataset: { name: 'cifar' } }, { optimizer: { betas: [0.9] } }],
    ...[{ model: { dropPath: 1 } }, { modules: [{ lr: 1 }] }, { device: 'gpu' }, { schema: 2 }, 3],
    ...[{ training: { learningRate: 'high' } }, { run: 4 }, { run: 'papr:4' }, { threads: 0 }],
  ]
  for (const config of wrong) {
    assert.not(accepts(config), JSON.stringify(config))
    await rejects(() => resolveConfig(config as TrainingConfigInput), 'ERR_CONFIG')
  }
})

test('every name has words that say what it is', async () => {
  const bare = (schema: { properties?: Record<string, never> }, at: string): string[] =>
    Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
      ...((field as { description?: string }).description ? [] : [`${at}${name}`]),
      ...bare(field, `${at}${name}.`),
    ])
  assert.equal(bare(configJsonSchema() as never, ''), [])
  const yaml = await configToYaml(resolveConfig())
  assert.match(yaml, /^ {2}epochs: 1 # Passes over the training images$/m)
  assert.match(yaml, /^ {2}# windowSize: /m)
  assert.equal(parse(yaml), resolveConfig())
})

test('a syntax error is told with line and column', async () => {
  const wrong: readonly [string, string][] = [
    ['run: paper:4\ntraining: [1\nseed: 1', 'run.yaml:3:1: '],
    ['{\n  "seed": 1\n  "run": "paper:4"\n}', 'run.yaml:2:11: '],
    ['seed: 1\nseed: 2', 'run.yaml:2:1: '],
    ['seed: !!js/function 1', 'run.yaml:1:7: '],
    ['seed: 1\n---\nseed: 2', 'run.yaml:2:1: '],
  ]
  for (const [text, place] of wrong) await rejects(() => read(text), 'ERR_CONFIG', place)
})

test('JSON with tabs, a byte order mark and comments alone are read', async () => {
  assert.is((await read('{\n\t"seed":\t3,\n\t"training": {\n\t\t"epochs": 2\n\t}\n}')).seed, 3)
  assert.is((await read('\uFEFFseed: 4\n')).seed, 4)
  assert.equal(await read('# nothing yet\n'), resolveConfig())
})

test('a hostile file is refused and does no harm', async () => {
  const levels = 'bcdefghi'.split('')
  const laughs = levels.reduce(
    ({ text, last }, name) => ({
      text: `${text}${name}: &${name} [${Array(9).fill(`*${last}`).join(',')}]\n`,
      last: name,
    }),
    { text: `a: &a [${Array(9).fill('x').join(',')}]\n`, last: 'a' },
  ).text
  await rejects(() => read(laughs), 'ERR_CONFIG', 'lias')
  const nested = [
    ['[', ']'],
    ['{"model":', '}'],
    ['- ', ''],
    ['? ', ''],
    ['{"a": [', ']}'],
  ] as const
  for (const [open, close] of nested) {
    const text = `${open.repeat(20_000)}1${close.repeat(20_000)}`
    await rejects(() => read(text), 'ERR_CONFIG', 'nested too deeply')
  }
  const stairs = Array.from({ length: 400 }, (_, depth) => `${' '.repeat(depth)}model:`).join('\n')
  await rejects(() => read(stairs), 'ERR_CONFIG', 'nested too deeply')
  await rejects(() => read('modules: &a [*a, &b {eps: *b}]'), 'ERR_CONFIG')
  for (const text of [
    '__proto__: {polluted: 1}',
    '{"__proto__": {"polluted": 1}}',
    '"__proto__": {polluted: 1}',
    'constructor: {prototype: {polluted: 1}}',
    'training: {__proto__: {polluted: 1}}',
  ]) {
    const [first] = await problemsOf(() => read(text))
    assert.match(first?.message ?? '', /^Unknown name/)
    assert.is(({} as { polluted?: number }).polluted, undefined)
  }
})

test('a run spec is changed by its parts', () => {
  const cases: readonly [string, Record<string, string>, string][] = [
    ['paper:4,decoder=conv', {}, 'paper:4,decoder=conv'],
    ['paper:4', { modules: '2' }, 'paper:2'],
    ['paper:4,dtype=bfloat16', { decoder: 'conv' }, 'paper:4,dtype=bfloat16,decoder=conv'],
    ['paper:4,decoder=linear', { decoder: 'conv' }, 'paper:4,decoder=conv'],
    // Another method brings its own losses and leaves the rest.
    ['paper:4,decoder=conv,dtype=bfloat16', { method: 'infopro' }, 'infopro:4,dtype=bfloat16'],
    ['paper:4,decoder=conv', { method: 'paper' }, 'paper:4,decoder=conv'],
    ['paper:4,split=balanced,recompute=block', { method: 'backprop' }, 'backprop,recompute=block'],
    ['backprop', { method: 'paper', modules: '2' }, 'paper:2'],
    // Cuts say how many modules there are.
    ['paper:4', { split: '1+3' }, 'paper,split=1+3'],
    ['paper:4', { split: 'balanced' }, 'paper:4,split=balanced'],
    ['paper', { a: '0..2' }, 'paper,a=0..2'],
  ]
  for (const [text, parts, changed] of cases) assert.is(changeRun(text, parts), changed)
})

test('settings of single modules reach trainers and loop', () => {
  const config = resolveConfig({
    run: 'greedy:3',
    training: { learningRate: 1e-3 },
    modules: [{ learningRate: 1e-2 }, null, { optimizer: 'sgd', momentum: 0.5 }],
    dataset: { trainLimit: 100 },
    seed: 5,
  })
  const { learningRate, trainLimit, seed, testLimit } = trainOptionsOf(config, 3)
  assert.equal([learningRate, trainLimit, seed, testLimit], [[1e-2, 1e-3, 1e-3], 100, 5, undefined])
  const { optimizer, perModule, seed: ofParts } = optimizerOptionsOf(config)
  assert.is(optimizer, 'adamw')
  assert.is(ofParts, 5)
  assert.equal(perModule, [{}, null, { optimizer: 'sgd', momentum: 0.5 }])
})

test.run()

// Checkpoints of timm, torchvision and Microsoft: names, resized bias tables, what is refused and
// what is converted. Golden lists and tables are of the real packages; no addon is needed.
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Parameter,
  resolveSwinConfig,
  type SwinOptions,
  type Tensors,
} from '../../../lib/local/swin-transformer.js'
import {
  type ReadCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from '../../../lib/weights/checkpoint.js'
import { convertWeights } from '../../../lib/weights/convert-weights.js'
import {
  detectFormat,
  FORMATS,
  isDropped,
  ourName,
  theirName,
  WRITTEN_FORMATS,
} from '../../../lib/weights/formats.js'
import { inspectWeights } from '../../../lib/weights/inspect-weights.js'
import { type LoadWeightsOptions, planFile } from '../../../lib/weights/load-weights.js'
import { parameterList } from '../../../lib/weights/parameter-list.js'
import { resizeBiasTable } from '../../../lib/weights/position-bias.js'
import { relativePositionIndex } from '../../../lib/weights/torchvision.js'
import { atMost, rejects } from '../../helpers/expect.js'
import { closedFormula, relative, sizeOf, weightsOf } from '../../helpers/golden.js'
import { GOLDEN, SMALL, writeAs } from '../../helpers/weights-golden.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-weights-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const at = (name: string) => path.join(folder, name)
const configOf = (options: SwinOptions) => resolveSwinConfig({ ...options, device: 'cpu' })
const SWIN_T = parameterList(configOf({ classes: 1000 }))
const NETWORK = parameterList(configOf(SMALL))
const OURS = weightsOf(GOLDEN.networks.timm.parameters)

const NOTHING_LEFT = { missing: [], unexpected: [], mismatched: [], resized: [] }

/** What a file with these tensors gives when it is read. */
function contents(tensors: Tensors, integers: readonly string[] = []): ReadCheckpoint {
  const skipped = integers.map((name) => ({ name, dtype: 'I64', shape: [] }))
  return { tensors, metadata: {}, skipped }
}

/** Zeros of other sizes: values play no part. */
function zeros(options: SwinOptions): Tensors {
  return tensorsOf(parameterList(configOf({ ...SMALL, ...options })))
}

function tensorsOf(list: readonly Parameter[]): Tensors {
  return Object.fromEntries(
    list.map(({ name, shape }) => [name, { shape, data: new Float32Array(sizeOf(shape)) }]),
  )
}

const NOTHING_SAID = { dataset: null, classes: null, mean: null, std: null }
const LOADING: Required<LoadWeightsOptions> = {
  ...{ format: 'auto', strict: true, classifier: 'auto', allowNonFinite: false },
}

function plan(tensors: Tensors, options: LoadWeightsOptions = {}, integers: string[] = []) {
  const all = { ...LOADING, ...options }
  return planFile('some.safetensors', contents(tensors, integers), NETWORK, all)
}

function without(tensors: Tensors, ...names: readonly string[]): Tensors {
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => !names.includes(name)))
}

for (const format of FORMATS) {
  const names = GOLDEN.stateDicts[format].map(([name]) => name)

  test(`${format}: every tensor of its Swin-Tiny is one parameter here, or a buffer`, () => {
    const parameters = GOLDEN.stateDicts[format].filter(([name]) => !isDropped(name))
    assert.is(parameters.length, SWIN_T.length)
    const found = new Map(parameters.map(([name, shape]) => [ourName(format, name), shape]))
    assert.is(found.size, SWIN_T.length, 'no two come to the same name')
    for (const { name, shape } of SWIN_T) assert.equal(found.get(name), shape, name)
    for (const name of names.filter(isDropped)) {
      assert.match(name, /(attn_mask|relative_position_index)$/)
    }
  })

  test(`${format}: is told by the names, with the prefix of a training checkpoint too`, () => {
    assert.is(detectFormat(names), format)
    assert.is(detectFormat(names.map((name) => `model.${name}`)), format)
    for (const name of names.filter((name) => !isDropped(name))) {
      assert.is(ourName(format, `module.${name}`), ourName(format, name))
    }
  })

  test(`${format}: names of the others are none of its own`, () => {
    for (const other of FORMATS.filter((name) => name !== format)) {
      for (const [name] of GOLDEN.stateDicts[other]) {
        if (names.includes(name) || isDropped(name)) continue
        const ours = ourName(format, name)
        assert.not(
          SWIN_T.some((parameter) => parameter.name === ours),
          `${name} is taken for ${ours}`,
        )
      }
    }
  })
}

test("timm's parameters come in timm's order", () => {
  assert.equal(
    SWIN_T.map(({ name, shape }) => [name, shape]),
    GOLDEN.stateDicts.timm,
  )
})

for (const format of WRITTEN_FORMATS) {
  test(`${format}: names are written as they are read`, () => {
    const written = SWIN_T.map(({ name }) => theirName(format, name))
    const real = GOLDEN.stateDicts[format].map(([name]) => name)
    assert.equal(written.sort(), real.filter((name) => !isDropped(name)).sort())
  })
}

for (const { stream, from, to, heads, values } of GOLDEN.resizes) {
  test(`a bias table of window ${from} for window ${to} is torch's bicubic one`, () => {
    const table = closedFormula(stream, (2 * from - 1) ** 2 * heads, 0, 1)
    const resized = resizeBiasTable(table, heads, from, to)
    assert.is(resized.length, values.length)
    atMost(relative(resized, values), 1e-6, 'difference')
  })
}

test("the position index is torchvision's", () => {
  const { window, values } = GOLDEN.relativePositionIndex
  assert.equal([...relativePositionIndex(window)].map(Number), values)
})

for (const format of FORMATS) {
  test(`${format}: a whole file leaves nothing over and is found value by value`, async () => {
    const file = at(`${format}.safetensors`)
    await writeAs(format, file)
    const read = await readCheckpoint(file)
    const { values, report } = planFile(file, read, NETWORK, LOADING)
    assert.is(report.format, format)
    assert.is(report.classifier, 'loaded')
    assert.equal(
      report.loaded,
      NETWORK.map(({ name }) => name),
    )
    const { missing, unexpected, mismatched, resized } = report
    assert.equal({ missing, unexpected, mismatched, resized }, NOTHING_LEFT)
    const buffers = GOLDEN.networks[format].buffers.map(([name]) => name)
    assert.equal([...report.dropped].sort(), [...buffers].sort())
    for (const [name, { data }] of Object.entries(read.tensors)) {
      if (!isDropped(name)) assert.is(values[ourName(format, name) ?? '']?.data, data, name)
    }
  })
}

test('a file with old names of timm is one of format timm too', () => {
  const tensors = weightsOf(GOLDEN.networks.microsoft.parameters)
  const { report } = plan(tensors, { format: 'timm' })
  assert.is(report.format, 'microsoft')
  assert.is(report.loaded.length, NETWORK.length)
})

test('every problem is listed in one error, by kind, and whole in its properties', async () => {
  const extra = Object.fromEntries(
    Array.from({ length: 12 }, (_, i) => [`extra.${i}`, { shape: [1], data: Float32Array.of(i) }]),
  )
  const misshapen = { shape: [16, 1], data: new Float32Array(16) }
  const tensors = { ...without(OURS, 'norm.weight'), ...extra, 'patch_embed.norm.bias': misshapen }
  const error = await rejects(
    () => plan(tensors, {}, ['counter']),
    'ERR_CHECKPOINT',
    /^some\.safetensors \(names of timm\) does not fit the network: 77 of 79 parameters fit$/m,
    /^ {2}1 missing: norm\.weight$/m,
    /^ {2}13 unexpected: extra\.0, .*extra\.9, and 3 more$/m,
    /^ {2}1 of another shape: patch_embed\.norm\.bias is \[16, 1\], not \[16\]$/m,
    'strict: false',
  )
  const { missing, unexpected, mismatched } = error
  assert.equal(missing, ['norm.weight'])
  assert.equal(unexpected, [...Object.keys(extra), 'counter'])
  const shapes = { expected: [16], received: [16, 1] }
  assert.equal(mismatched, [{ name: 'patch_embed.norm.bias', ...shapes }])

  const { values, report } = plan(tensors, { strict: false }, ['counter'])
  assert.equal(
    { ...report, loaded: 0 },
    {
      ...{ format: 'timm', loaded: 0, resized: [], classifier: 'loaded', dropped: [] },
      ...{ missing, unexpected, mismatched, trainedOn: NOTHING_SAID },
    },
  )
  assert.is(Object.keys(values).length, 77)
  assert.equal(report.loaded, Object.keys(values))
  assert.not('norm.weight' in values)
})

test('each kind of problem alone is an error', async () => {
  const one = { shape: [1], data: Float32Array.of(1) }
  const problems: [Tensors, RegExp, string[]?][] = [
    [without(OURS, 'layers.2.blocks.1.mlp.fc2.bias'), /1 missing: layers\.2\.blocks\.1\.mlp\.fc2/],
    [{ ...OURS, 'head.weight': one }, /1 unexpected: head\.weight$/m],
    [{ ...OURS, 'model.norm.weight': OURS['norm.weight'] ?? one }, /unexpected: model\.norm\.w/],
    [{ ...OURS, 'norm.bias': one }, /1 of another shape: norm\.bias is \[1\], not \[64\]$/m],
    [OURS, /1 unexpected: layers\.0\.blocks\.0\.steps$/m, ['layers.0.blocks.0.steps']],
    // Not a float, so that nothing is there to load.
    [without(OURS, 'norm.bias'), /1 missing: norm\.bias\n {2}1 unexpected: norm/, ['norm.bias']],
  ]
  for (const [tensors, message, integers] of problems) {
    await rejects(() => plan(tensors, {}, integers), 'ERR_CHECKPOINT', message)
  }
})

test("another number of classes: the network's own classifier stays, and the report says so", async () => {
  const tensors = { ...OURS, ...pickHead(zeros({ classes: 1000 })) }
  const { values, report } = plan(tensors)
  assert.is(report.classifier, 'kept')
  assert.equal(report.dropped, ['head.fc.weight', 'head.fc.bias'])
  assert.equal([...report.missing, ...report.mismatched], [])
  assert.is(report.loaded.length, NETWORK.length - 2)
  assert.not('head.fc.weight' in values || 'head.fc.bias' in values)
  await rejects(
    () => plan(tensors, { classifier: 'load' }),
    'ERR_CHECKPOINT',
    'head.fc.weight is [1000, 64], not [7, 64], head.fc.bias is [1000], not [7]',
  )
})

test("classifier skip keeps the network's own, whatever the file has", async () => {
  const { values, report } = plan(OURS, { classifier: 'skip' })
  assert.is(report.classifier, 'kept')
  assert.equal(report.dropped, ['head.fc.weight', 'head.fc.bias'])
  assert.not('head.fc.bias' in values)
  const headless = without(OURS, 'head.fc.weight', 'head.fc.bias')
  assert.is(plan(headless, { classifier: 'skip' }).report.classifier, 'kept')
  await rejects(
    () => plan(headless),
    'ERR_CHECKPOINT',
    '2 missing: head.fc.weight, head.fc.bias',
    "classifier 'skip'",
  )
})

test('half a classifier of other classes is no classifier of other classes', async () => {
  const other = pickHead(zeros({ classes: 9 }))
  await rejects(
    () => plan({ ...OURS, ...without(other, 'head.fc.weight') }),
    'ERR_CHECKPOINT',
    '1 of another shape: head.fc.bias is [9], not [7]',
  )
  await rejects(
    () => plan({ ...without(OURS, 'head.fc.bias'), ...without(other, 'head.fc.bias') }),
    'ERR_CHECKPOINT',
    '1 missing: head.fc.bias',
    'head.fc.weight is [9, 64]',
  )
  await rejects(
    () => plan({ ...OURS, ...without(other, 'head.fc.bias') }),
    'ERR_CHECKPOINT',
    '1 of another shape: head.fc.weight is [9, 64], not [7, 64]',
  )
  const narrow = { shape: [9, 32], data: new Float32Array(288) }
  await rejects(
    () => plan({ ...OURS, ...other, 'head.fc.weight': narrow }),
    'ERR_CHECKPOINT',
    '2 of another shape: head.fc.weight is [9, 32], not [7, 64]',
  )
})

test('bias tables of another window are resized, and are named', () => {
  const small = parameterList(configOf({ ...SMALL, imageSize: 16, windowSize: 2 }))
  const { values, report } = planFile('x', contents(OURS), small, LOADING)
  const tables = small.filter(({ name }) => name.endsWith('bias_table')).map(({ name }) => name)
  assert.is(tables.length, 5)
  assert.equal(report.resized, tables)
  for (const name of tables) {
    const heads = OURS[name]?.shape[1] as number
    assert.equal(values[name]?.shape, [9, heads])
    const data = resizeBiasTable(OURS[name]?.data as Float32Array, heads, 4, 2)
    assert.equal(values[name]?.data, data, name)
  }
})

test('a bias table is not resized where heads differ or the rows are those of no window', async () => {
  const name = 'layers.1.blocks.0.attn.relative_position_bias_table'
  for (const shape of [[49, 3], [48, 2], [36, 2], [49], [49, 2, 1]]) {
    const odd = { ...OURS, [name]: { shape, data: new Float32Array(sizeOf(shape)) } }
    const listed = `${name} is [${shape.join(', ')}], not [49, 2]`
    await rejects(() => plan(odd), 'ERR_CHECKPOINT', '1 of another shape', listed)
  }
})

const ALLOWED = /Allowed are weights of a Swin .* names of timm, torchvision, microsoft/
const HUGGING_FACE = 'swin.encoder.layers.0.blocks.0.attention.self.relative_position_bias_table'
const RESNET = ['conv1.weight', 'bn1.weight', 'layer1.0.conv1.weight', 'layer1.0.bn1.weight']
const FOREIGN: [string, readonly string[], RegExp][] = [
  ['ResNet', RESNET, /seems to be a ResNet/],
  ['ViT', ['cls_token', 'pos_embed', 'blocks.0.attn.qkv.weight'], /a Vision Transformer/],
  ['ConvNeXt', ['features.0.0.weight', 'features.1.0.layer_scale'], /a ConvNeXt/],
  ["Hugging Face's Swin", [HUGGING_FACE], /Hugging Face/],
  ['unknown', ['a', 'b', 'c', 'd'], /is not known here \(a, b, c, \.\.\.\)/],
  ['empty', [], /a file without tensors/],
]

for (const [name, names, message] of FOREIGN) {
  test(`a checkpoint of another architecture (${name}) is one error that names what is allowed`, async () => {
    const tensors = tensorsOf(names.map((name) => ({ name, shape: [1] })))
    for (const options of [{}, { strict: false }, { format: 'torchvision' }] as const) {
      const work = () => plan(tensors, options)
      await rejects(work, 'ERR_CHECKPOINT', message, 'holds no Swin Transformer', ALLOWED)
    }
    await rejects(
      () => plan(tensors, { format: 'timm', strict: false }),
      'ERR_CHECKPOINT',
      '0 of 79 parameters fit',
      'timm, torchvision, microsoft',
    )
  })
}

test('a Swin of other sizes is told with both sizes', async () => {
  const wide = zeros({ embedDim: 32, heads: [2, 4, 8], depths: [2, 1, 4] })
  for (const strict of [true, false]) {
    await rejects(
      () => plan(wide, { strict }),
      'ERR_CHECKPOINT',
      '1 of 79 parameters fit',
      '26 unexpected: layers.2.blocks.2.norm1.weight',
      'a Swin (patch 2, width 32, depths 2-1-4, heads 2-4-8)',
      'the network is a Swin (patch 2, width 16, depths 2-1-2, heads 1-2-4)',
      ALLOWED,
    )
  }
  const deep = zeros({ depths: [2, 1, 6] })
  await rejects(() => plan(deep), 'ERR_CHECKPOINT', '79 of 79 parameters fit', 'depths 2-1-6')
})

test('a Swin Transformer V2 is recognised as one', async () => {
  const v2 = 'layers.0.blocks.0.attn.logit_scale'
  await rejects(
    () => plan({ ...OURS, [v2]: { shape: [1, 1, 1], data: Float32Array.of(0) } }),
    'ERR_CHECKPOINT',
    `1 unexpected: ${v2}`,
    'The file seems to be a Swin Transformer V2',
  )
})

test('a format that was asked for is taken at its word', async () => {
  await rejects(
    () => plan(OURS, { format: 'torchvision' }),
    'ERR_CHECKPOINT',
    'names of torchvision',
    "Its names are timm's: take format 'timm' or 'auto'",
  )
})

test('heads and decoders of a run are passed over', () => {
  const one = { shape: [1], data: Float32Array.of(1) }
  const { report } = plan({ ...OURS, 'auxiliary.0.head.fc.weight': one })
  assert.equal(report.dropped, ['auxiliary.0.head.fc.weight'])
  assert.is(report.loaded.length, NETWORK.length)
})

test('info: what a file holds, of every format', async () => {
  for (const format of FORMATS) {
    const file = at(`info-${format}.safetensors`)
    await writeAs(format, file)
    const { dtypes, description, ...info } = await inspectWeights(file)
    const { patchSize, embedDim, depths, heads, mlpRatio, windowSize, imageSize, classes } = SMALL
    assert.equal(info, {
      format,
      network: {
        ...{ variant: null, patchSize, embedDim, depths, heads, mlpRatio, windowSize },
        ...{ imageSize, classes },
      },
      tensors: NETWORK.length,
      parameters: NETWORK.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      dropped: GOLDEN.networks[format].buffers.length,
      metadata: { format: 'pt' },
      trainedOn: NOTHING_SAID,
    })
    const total = NETWORK.length + info.dropped
    assert.is((dtypes.F32 ?? 0) + (dtypes.I64 ?? 0), total)
    assert.is(description, 'a Swin (patch 2, width 16, depths 2-1-2, heads 1-2-4)')
  }
})

test('info: absurd numbers in names are no sizes', async () => {
  const file = at('absurd.safetensors')
  const one = { shape: [1], data: Float32Array.of(1) }
  const absurd = { 'layers.4294967290.blocks.0.x': one, 'layers.0.blocks.4294967294.x': one }
  await writeCheckpoint(file, { tensors: { ...OURS, ...absurd }, metadata: {} })
  assert.equal((await inspectWeights(file)).network?.depths, SMALL.depths)
})

test('info: published sizes have their name, other architectures theirs', async () => {
  const file = at('published.safetensors')
  const micro = { variant: 'micro', imageSize: 64, classes: 3 } as const
  await writeCheckpoint(file, {
    tensors: tensorsOf(parameterList(configOf(micro))),
    metadata: {},
  })
  const { network } = await inspectWeights(file)
  assert.is(network?.variant, 'micro')
  assert.is(network?.imageSize, 64)
  assert.is(network?.classes, 3)
  await writeCheckpoint(file, {
    tensors: tensorsOf(RESNET.map((name) => ({ name, shape: [2] }))),
    metadata: {},
  })
  const other = await inspectWeights(file)
  assert.equal([other.format, other.network, other.description], [null, null, 'a ResNet'])
})

test('convert: from every format to every one that is written, bit for bit', async () => {
  for (const format of FORMATS) {
    for (const to of WRITTEN_FORMATS) {
      const [file, output] = [at('from.safetensors'), at('to.safetensors')]
      await writeAs(format, file)
      const report = await convertWeights(file, output, { to })
      assert.is(report.format, format)
      assert.is(report.config.imageSize, SMALL.imageSize)
      const [before, after] = [await readCheckpoint(file), await readCheckpoint(output)]
      assert.equal(JSON.parse(after.metadata.model ?? ''), report.config)
      assert.is(after.metadata.format, 'pt')
      const renamed = GOLDEN.networks[format].parameters.map(({ name }) => {
        return [theirName(to, ourName(format, name) ?? ''), before.tensors[name]] as const
      })
      assert.is(Object.keys(after.tensors).length, renamed.length)
      for (const [name, tensor] of renamed) assert.equal(after.tensors[name], tensor, name)
      const indices = GOLDEN.networks[to].buffers.map(([name, shape]) => ({
        ...{ name, dtype: 'I64', shape },
      }))
      const byName = (list: readonly { name: string }[]) =>
        [...list].sort((a, b) => (a.name < b.name ? -1 : 1))
      assert.equal(byName(after.skipped), byName(indices))
    }
  }
})

test('convert: another image size resizes the bias tables', async () => {
  const [file, output] = [at('large.safetensors'), at('resized.safetensors')]
  await writeAs('torchvision', file)
  const { resized, config } = await convertWeights(file, output, { imageSize: 48 })
  assert.is(config.windowSize, 6)
  assert.is(resized.length, 5)
  const { network } = await inspectWeights(output)
  assert.is(network?.windowSize, 6)
  assert.is(network?.imageSize, 48)
  await rejects(
    () => convertWeights(file, output, { imageSize: 48, windowSize: 5 }),
    'ERR_CONFIG',
    '`windowSize`',
  )
})

test('convert: a map below the window is not written for torchvision, which pads it', async () => {
  const [file, output] = [at('below.safetensors'), at('none.safetensors')]
  await writeAs('timm', file)
  const options = { to: 'torchvision', imageSize: 16, windowSize: 4 } as const
  await rejects(() => convertWeights(file, output, options), 'ERR_CONFIG', 'stage 3, 2 x 2', 'pads')
  assert.not(existsSync(output))
})

test('convert: what is incomplete, foreign or cut leaves the output alone', async () => {
  const [file, output] = [at('bad.safetensors'), at('kept.safetensors')]
  await writeAs('timm', output)
  const before = readFileSync(output)
  const write = (tensors: Tensors) => writeCheckpoint(file, { tensors, metadata: {} })
  const refused = async (...parts: string[]) => {
    for (const strict of [true, false]) {
      await rejects(() => convertWeights(file, output, { strict }), 'ERR_CHECKPOINT', ...parts)
    }
  }
  await write(without(OURS, 'norm.weight'))
  await refused('1 missing: norm.weight', 'Only a whole network is written')
  await write(without(OURS, 'head.fc.weight', 'head.fc.bias'))
  await refused('has no classifier')
  await write(tensorsOf(RESNET.map((name) => ({ name, shape: [2] }))))
  await refused('a ResNet')
  await write(OURS)
  truncateSync(file, readFileSync(file).length - 1)
  await refused('truncated')
  await rejects(() => convertWeights(at('absent'), output), 'ERR_CHECKPOINT', 'ENOENT')
  assert.equal(readFileSync(output), before)
})

test('convert: strict refuses what is no part of a Swin, without strict it is left out', async () => {
  const [file, output] = [at('extra.safetensors'), at('plain.safetensors')]
  const extra = { shape: [1], data: Float32Array.of(1) }
  await writeCheckpoint(file, { tensors: { ...OURS, extra }, metadata: {} })
  await rejects(
    () => convertWeights(file, output),
    'ERR_CHECKPOINT',
    '1 unexpected: extra',
    '--no-strict',
  )
  const { unexpected } = await convertWeights(file, output, { strict: false })
  assert.equal(unexpected, ['extra'])
  assert.equal(Object.keys((await readCheckpoint(output)).tensors).sort(), Object.keys(OURS).sort())
})

test('wrong options are told as everywhere', async () => {
  const wrong = (options: object, file: unknown = at('x')) =>
    convertWeights(file as string, at('y'), options)
  await rejects(() => wrong({ format: 'keras' }), 'ERR_CONFIG', '`format`', 'microsoft', '"keras"')
  await rejects(() => wrong({ to: 'microsoft' }), 'ERR_CONFIG', 'timm, torchvision', '`to`')
  await rejects(() => wrong({ from: 'timm' }), 'ERR_CONFIG', 'Unknown option "from"', 'imageSize')
  await rejects(() => wrong({}, 3), 'ERR_CONFIG', '`file`', 'received 3')
})

function pickHead(tensors: Tensors): Tensors {
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => name.startsWith('head.')))
}

test.run()

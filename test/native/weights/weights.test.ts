// Weights of timm, torchvision and Microsoft, through files, into the network and out again.
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  convertWeights,
  exportWeights,
  inspectWeights,
  type LoadWeightsOptions,
  LocalTrainer,
  loadWeights,
  type SwinOptions,
  SwinTransformer,
  type Tensors,
} from '../../../lib/index.js'
import { loadTorch } from '../../../lib/native/load.js'
import { readCheckpoint, writeCheckpoint } from '../../../lib/weights/checkpoint.js'
import { FORMATS, isDropped, WRITTEN_FORMATS } from '../../../lib/weights/formats.js'
import { parameterList } from '../../../lib/weights/parameter-list.js'
import { resizeBiasTable } from '../../../lib/weights/position-bias.js'
import { atMost, changed, rejects, same } from '../../helpers/expect.js'
import { imagesOf, relative, weightsOf } from '../../helpers/golden.js'
import { byteBatch } from '../../helpers/tiny.js'
import { BATCH, GOLDEN, SMALL, writeAs } from '../../helpers/weights-golden.js'

loadTorch().setThreads(1)

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-weights-native-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const at = (name: string) => path.join(folder, name)
const images = imagesOf(0, BATCH, SMALL.imageSize)
const HEAD = ['head.fc.weight', 'head.fc.bias']

for (const format of FORMATS) {
  test(`logits with ${format}'s weights are ${format}'s`, async () => {
    const file = at(`${format}.safetensors`)
    await writeAs(format, file)
    await using model = await SwinTransformer.create(SMALL)
    const report = await loadWeights(model, file)
    assert.is(report.format, format)
    assert.is(report.loaded.length, model.parameters().length)
    const { data } = await model.predict({ images })
    atMost(relative(data, GOLDEN.networks[format].logits.flat()), 1e-5, 'logits')
  })
}

for (const format of WRITTEN_FORMATS) {
  test(`weights exported for ${format} are what ${format} has, buffers included`, async () => {
    await writeAs(format, at('in.safetensors'))
    await using model = await SwinTransformer.create(SMALL)
    await loadWeights(model, at('in.safetensors'))
    await exportWeights(model, at('out.safetensors'), { format })
    const { tensors, skipped, metadata } = await readCheckpoint(at('out.safetensors'))
    const wanted = weightsOf(GOLDEN.networks[format].parameters)
    assert.equal(Object.keys(tensors).sort(), Object.keys(wanted).sort())
    same(inOrderOf(wanted, tensors), wanted, 'weights')
    const buffers = GOLDEN.networks[format].buffers.map(([name, shape]) => [name, shape])
    const listed = skipped.map(({ name, shape }) => [name, shape])
    assert.equal(listed.sort(), buffers.sort())
    assert.is(metadata.format, 'pt')
    assert.equal(JSON.parse(metadata.model ?? ''), model.config)
  })
}

test('what is exported is read again by another network, with the same logits', async () => {
  await using model = await SwinTransformer.create({ ...SMALL, seed: 1 })
  await using other = await SwinTransformer.create({ ...SMALL, seed: 2 })
  for (const format of [...WRITTEN_FORMATS, undefined]) {
    const options = format === undefined ? {} : { format }
    await exportWeights(model, at('exchange.safetensors'), options)
    const report = await loadWeights(other, at('exchange.safetensors'))
    assert.is(report.format, format ?? 'timm')
    assert.equal(await other.predict({ images }), await model.predict({ images }))
    same(await other.readParameters(), await model.readParameters(), 'weights')
  }
})

const SIZES: Readonly<Record<string, SwinOptions>> = {
  small: SMALL,
  tiny: { classes: 1000 },
  '32 px, where the last maps are below the window': { variant: 'micro', imageSize: 32 },
  'one stage, MLP ratio 2.5': {
    ...{ imageSize: 16, embedDim: 12, depths: [1], heads: [3], mlpRatio: 2.5, windowSize: 2 },
  },
}

for (const [name, options] of Object.entries(SIZES)) {
  test(`the list of parameters is the network's (${name})`, async () => {
    await using model = await SwinTransformer.create({ ...options, device: 'cpu' })
    assert.equal(parameterList(model.config), model.parameters())
  })
}

/** The weights after a refusal are those before. */
async function refused(
  model: SwinTransformer,
  tensors: Tensors,
  options: LoadWeightsOptions,
  ...parts: readonly (string | RegExp)[]
): Promise<void> {
  const before = await model.readParameters()
  await writeCheckpoint(at('refused.safetensors'), { tensors, metadata: {} })
  const work = () => loadWeights(model, at('refused.safetensors'), options)
  await rejects(work, 'ERR_CHECKPOINT', ...parts)
  same(before, await model.readParameters(), 'nothing is written')
}

test('strict refuses what does not fit whole, and writes nothing', async () => {
  await using model = await SwinTransformer.create(SMALL)
  const all = weightsOf(GOLDEN.networks.timm.parameters)
  const { 'norm.weight': _, ...lacking } = all
  await refused(model, lacking, {}, '1 missing: norm.weight')
  const extra = { shape: [1], data: Float32Array.of(1) }
  await refused(model, { ...all, extra }, {}, '1 unexpected: extra')
  await refused(model, { ...all, 'norm.bias': extra }, {}, 'norm.bias is [1], not [64]')
  const resnet = { 'layer1.0.conv1.weight': extra, 'fc.weight': extra }
  await refused(model, resnet, {}, 'a ResNet', 'timm, torchvision, microsoft')
  await refused(model, resnet, { strict: false }, 'a ResNet', 'timm, torchvision, microsoft')
})

test('without strict what fits is loaded, and nothing else is touched', async () => {
  await using model = await SwinTransformer.create(SMALL)
  const before = await model.readParameters()
  const { 'norm.weight': _, ...all } = weightsOf(GOLDEN.networks.timm.parameters)
  const extra = { shape: [1], data: Float32Array.of(1) }
  const tensors = { ...all, extra, 'norm.bias': extra }
  await writeCheckpoint(at('partly.safetensors'), { tensors, metadata: {} })
  const report = await loadWeights(model, at('partly.safetensors'), { strict: false })
  assert.equal(report.missing, ['norm.weight'])
  assert.equal(report.unexpected, ['extra'])
  assert.equal(report.mismatched, [{ name: 'norm.bias', expected: [64], received: [1] }])
  const after = await model.readParameters()
  assert.equal(changed(before, after), report.loaded)
  for (const name of report.loaded) assert.equal(after[name]?.data, all[name]?.data, name)
})

test('a network for other classes keeps its classifier and takes all else', async () => {
  await using model = await SwinTransformer.create({ ...SMALL, classes: 3 })
  const before = await model.readParameters()
  await writeAs('torchvision', at('classes.safetensors'))
  const report = await loadWeights(model, at('classes.safetensors'))
  assert.is(report.classifier, 'kept')
  assert.ok(report.dropped.includes('head.weight') && report.dropped.includes('head.bias'))
  const after = await model.readParameters()
  const names = Object.keys(after).filter((name) => !HEAD.includes(name))
  assert.equal(changed(before, after), names)
  assert.equal(report.loaded, names)
})

test('a network of another window has resized bias tables, and predicts', async () => {
  await using model = await SwinTransformer.create({ ...SMALL, imageSize: 48, windowSize: 6 })
  await writeAs('timm', at('window.safetensors'))
  const { resized } = await loadWeights(model, at('window.safetensors'))
  const weights = weightsOf(GOLDEN.networks.timm.parameters)
  const after = await model.readParameters()
  assert.is(resized.length, 5)
  for (const [name, { shape, data }] of Object.entries(weights)) {
    const isTable = resized.includes(name)
    const wanted = isTable ? resizeBiasTable(data, shape[1] as number, 4, 6) : data
    assert.equal(after[name]?.data, wanted, name)
  }
  const { data } = await model.predict({ images: imagesOf(0, 1, 48) })
  assert.ok(data.every(Number.isFinite))
})

test('the weights of a run, with heads and decoders, are those of its network', async () => {
  await using model = await SwinTransformer.create(SMALL)
  await using trainer = await LocalTrainer.create(model, { method: 'paper', modules: 2 })
  await trainer.step({ ...byteBatch(2), labels: [1, 2], height: 32, width: 32 })
  const [weights, auxiliary] = [await model.readParameters(), await trainer.readAuxiliary()]
  const tensors = { ...weights, ...auxiliary }
  await writeCheckpoint(at('run.safetensors'), { tensors, metadata: {} })
  await using other = await SwinTransformer.create({ ...SMALL, seed: 5 })
  const { dropped } = await loadWeights(other, at('run.safetensors'))
  assert.equal(dropped, Object.keys(auxiliary))
  assert.ok(dropped.length > 0 && dropped.every(isDropped))
  same(weights, await other.readParameters(), 'weights')
})

test('wrong arguments, a cut file, a disposed network', async () => {
  const model = await SwinTransformer.create(SMALL)
  const file = at('cut.safetensors')
  await writeAs('microsoft', file)
  truncateSync(file, readFileSync(file).length - 1)
  await rejects(() => loadWeights(model, file), 'ERR_CHECKPOINT', file, 'truncated')
  await rejects(() => loadWeights(model, at('absent')), 'ERR_CHECKPOINT', 'ENOENT')
  await rejects(() => loadWeights(model, '' as string), 'ERR_CONFIG', '`file`')
  await rejects(() => loadWeights({} as never, file), 'ERR_CONFIG', 'a SwinTransformer')
  await rejects(() => exportWeights({} as never, file), 'ERR_CONFIG', 'a SwinTransformer')
  const wrong = (options: object) => loadWeights(model, file, options)
  await rejects(() => wrong({ strict: 'no' }), 'ERR_CONFIG', 'true or false', '`strict`')
  await rejects(() => wrong({ classifier: 'keep' }), 'ERR_CONFIG', 'auto, load, skip', '"keep"')
  await rejects(() => wrong({ map: 1 }), 'ERR_CONFIG', '"map"', 'format, strict, classifier')
  const microsoft = { format: 'microsoft' } as never
  await rejects(() => exportWeights(model, file, microsoft), 'ERR_CONFIG', 'timm, torchvision')
  await rejects(() => exportWeights(model, at('no/x')), 'ERR_CHECKPOINT', 'could not be written')
  model.dispose()
  await rejects(() => loadWeights(model, file), 'ERR_DISPOSED')
  await rejects(() => exportWeights(model, file), 'ERR_DISPOSED')
})

/** Doubles that no short decimal is, and names that mean something to JSON, Python and a terminal. */
const TRAINED_ON = {
  dataset: 'mine "1"',
  classes: ['a', 'b "c"', 'd\\e', 'é\n', '__proto__', '', '猫'],
  mean: [0.1 + 0.2, 1 / 3, 5e-324],
  std: [0.2470322, 2 / 3, 1e300],
} as const

test('what a network was trained on comes back exactly, from file to file', async () => {
  await using model = await SwinTransformer.create(SMALL)
  const nothing = { dataset: null, classes: null, mean: null, std: null }
  for (const format of WRITTEN_FORMATS) {
    await exportWeights(model, at('named.safetensors'), { format, ...TRAINED_ON })
    assert.equal((await loadWeights(model, at('named.safetensors'))).trainedOn, TRAINED_ON)
    for (const to of WRITTEN_FORMATS) {
      const { trainedOn } = await convertWeights(at('named.safetensors'), at('to.safetensors'), {
        to,
      })
      assert.equal(trainedOn, TRAINED_ON)
      assert.equal((await loadWeights(model, at('to.safetensors'))).trainedOn, TRAINED_ON)
      assert.equal((await inspectWeights(at('to.safetensors'))).trainedOn, TRAINED_ON)
    }
    await exportWeights(model, at('plain.safetensors'), { format })
    assert.equal((await loadWeights(model, at('plain.safetensors'))).trainedOn, nothing)
  }
})

test("a run's weights say the same when they are converted", async () => {
  const { mean, std, classes, dataset } = TRAINED_ON
  await using model = await SwinTransformer.create(SMALL)
  await writeCheckpoint(at('run.safetensors'), {
    tensors: await model.readParameters(),
    metadata: {
      ...{ model: JSON.stringify(model.config), run: 'greedy:1', dataset },
      ...{ classes: JSON.stringify(classes), normalisation: JSON.stringify({ mean, std }) },
    },
  })
  const { trainedOn } = await convertWeights(at('run.safetensors'), at('of-run.safetensors'))
  assert.equal(trainedOn, TRAINED_ON)
})

test('metadata of another package is none of ours; of ours it has to fit', async () => {
  await using model = await SwinTransformer.create(SMALL)
  const tensors = await model.readParameters()
  const write = (metadata: Record<string, string>) =>
    writeCheckpoint(at('foreign.safetensors'), { tensors, metadata })
  for (const classes of ['7', 'ten', '{"a":1}', '[1,2]', 'null']) {
    await write({ classes, normalisation: '{"mean":[0,0],"std":"x"}' })
    const { trainedOn } = await loadWeights(model, at('foreign.safetensors'))
    assert.equal(trainedOn, { dataset: null, classes: null, mean: null, std: null })
  }
  await write({ classes: '["a","b"]' })
  const told = ['names 2 classes', 'tells 7 apart']
  await rejects(() => loadWeights(model, at('foreign.safetensors')), 'ERR_CHECKPOINT', ...told)
  const convert = () => convertWeights(at('foreign.safetensors'), at('x.safetensors'))
  await rejects(convert, 'ERR_CHECKPOINT', ...told)
  const wrong = async (options: object, ...parts: string[]) => {
    await rejects(() => exportWeights(model, at('x.safetensors'), options), 'ERR_CONFIG', ...parts)
  }
  await wrong({ classes: ['a'] }, '7 names', '`classes`')
  await wrong({ mean: [0, 0, 0] }, 'both or none', '`std`')
  await wrong({ mean: [0, 0, 0], std: [1, 1, 0] }, 'three numbers above 0')
  await wrong({ mean: [0, 0, Number.NaN], std: [1, 1, 1] }, 'three numbers of at least 0')
  await wrong({ labels: [] }, '"labels"')
})

test('weights that are no finite numbers are refused, unless they are wanted', async () => {
  await using model = await SwinTransformer.create(SMALL)
  const before = await model.readParameters()
  for (const [value, name] of [
    [Number.NaN, 'norm.bias'],
    [Number.POSITIVE_INFINITY, 'head.fc.weight'],
    [Number.NEGATIVE_INFINITY, 'layers.0.blocks.0.attn.relative_position_bias_table'],
  ] as const) {
    const tensors = structuredClone(before)
    tensors[name]?.data.fill(value, 1, 3)
    await writeCheckpoint(at('broken.safetensors'), { tensors, metadata: {} })
    const load = () => loadWeights(model, at('broken.safetensors'))
    const { tensors: named } = await rejects(load, 'ERR_NON_FINITE', `2 in ${name}`, 'diverged')
    assert.equal(named, [name])
    same(before, await model.readParameters(), 'nothing is written')
    const convert = (options: object) =>
      convertWeights(at('broken.safetensors'), at('whole.safetensors'), options)
    await rejects(() => convert({}), 'ERR_NON_FINITE', name)
    await convert({ allowNonFinite: true })
    await loadWeights(model, at('whole.safetensors'), { allowNonFinite: true })
    assert.ok(Object.is((await model.readParameters())[name]?.data[1], value))
    await model.writeParameters(before)
  }
  const read = await readCheckpoint(at('broken.safetensors'))
  assert.is(Object.keys(read.tensors).length, Object.keys(before).length, 'a file is a file')
})

test('weights are written under no name of another format', async () => {
  await using model = await SwinTransformer.create(SMALL)
  for (const name of ['a.onnx', 'a.pth', 'a.bin', 'a.safetensors.onnx']) {
    const told = ['as safetensors, not as', 'a.safetensors']
    await rejects(() => exportWeights(model, at(name)), 'ERR_CONFIG', ...told)
    await writeAs('timm', at('in.safetensors'))
    await rejects(() => convertWeights(at('in.safetensors'), at(name)), 'ERR_CONFIG', ...told)
    assert.not(existsSync(at(name)))
  }
  for (const name of ['plain', 'A.SAFETENSORS']) await exportWeights(model, at(name))
})

test("torchvision's names are not written where it would compute otherwise", async () => {
  await using model = await SwinTransformer.create({ ...SMALL, imageSize: 16, windowSize: 4 })
  const work = () => exportWeights(model, at('pad.safetensors'), { format: 'torchvision' })
  await rejects(work, 'ERR_CONFIG', 'stage 3, 2 x 2', 'window 4', 'torchvision pads')
  await exportWeights(model, at('pad.safetensors'))
})

function inOrderOf(names: Tensors, tensors: Tensors): Tensors {
  return Object.fromEntries(
    Object.keys(names).map((name) => [name, tensors[name] as Tensors[string]]),
  )
}

test.run()

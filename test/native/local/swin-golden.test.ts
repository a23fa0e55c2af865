// The network against timm's, number by number: names, logits, loss and every gradient.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type SwinOptions, SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost, rejects, same } from '../../helpers/expect.js'
import {
  deviation,
  imagesOf,
  readGolden,
  relative,
  type SwinSizes,
  weightsOf,
} from '../../helpers/golden.js'
import { TEST_DEVICE } from '../../helpers/test-device.js'

const { configs } = readGolden('swin')
/** timm pads maps that are no multiple of the window; we refuse them. */
const REFUSED = 'padded'

loadTorch().setThreads(1)

function optionsOf(sizes: SwinSizes): SwinOptions {
  const { imageSize, patchSize, windowSize, embedDim, depths, heads, mlpRatio, classes } = sizes
  return {
    ...{ imageSize, patchSize, windowSize, embedDim, depths, heads, mlpRatio, classes },
    device: TEST_DEVICE,
  }
}

for (const [name, config] of Object.entries(configs)) {
  if (name === REFUSED) continue
  const images = imagesOf(0, config.batch, config.imageSize, config.imageScale)

  test(`${name}: parameters have timm's names and shapes`, async () => {
    await using model = await SwinTransformer.create(optionsOf(config))
    const byName = new Map(model.parameters().map((p) => [p.name, p.shape]))
    assert.equal([...byName.keys()].sort(), config.parameters.map((p) => p.name).sort())
    for (const { name, shape } of config.parameters) assert.equal(byName.get(name), shape, name)
  })

  test(`${name}: units have timm's order and output shapes`, async () => {
    await using model = await SwinTransformer.create(optionsOf(config))
    assert.equal(
      model.units.slice(0, -1).map((unit) => ({ name: unit.name, shape: unit.outputShape })),
      config.units.map((unit) => ({ name: unit.name, shape: unit.shape.slice(1) })),
    )
    assert.equal(model.units.at(-1)?.name, 'classifier')
    assert.equal(model.units.at(-1)?.outputShape, [config.classes])
  })

  test(`${name}: logits, loss and every gradient are timm's`, async () => {
    await using model = await SwinTransformer.create(optionsOf(config))
    const weights = weightsOf(config.parameters)
    await model.writeParameters(weights)
    const { logits, loss, gradients } = await model.gradients({ images, labels: config.labels })
    assert.equal(logits.shape, [config.batch, config.classes])
    atMost(relative(logits.data, config.logits.flat()), 1e-5, 'logits')
    atMost(Math.abs(loss - config.loss) / config.loss, 1e-5, 'loss')
    assert.is(Object.keys(gradients).length, config.parameters.length)
    // Images so dim that LayerNorm's epsilon shows are badly conditioned: 1.1e-5 was seen there.
    const tolerance = name === 'dim-images' ? 3e-5 : 1e-5
    for (const { name: parameter, shape, gradient } of config.parameters) {
      assert.equal(gradients[parameter]?.shape, shape, parameter)
      const difference = deviation(gradients[parameter]?.data ?? [], gradient)
      atMost(difference, tolerance, `gradient of ${parameter}`)
    }
    const predicted = await model.predict({ images })
    assert.equal(predicted.data, logits.data, 'predict gives the same logits')
    const after = await model.readParameters()
    const written = Object.fromEntries(
      Object.keys(after).map((name) => [name, weights[name] as { shape: number[]; data: never }]),
    )
    same(written, after, 'weights are read as they were written')
  })
}

test('parameters come in the order of the network', async () => {
  await using model = await SwinTransformer.create({
    ...{ imageSize: 16, patchSize: 4, windowSize: 4, embedDim: 16, depths: [1, 1], heads: [2, 4] },
    device: TEST_DEVICE,
  })
  const block = (path: string) =>
    [
      ...['norm1.weight', 'norm1.bias', 'attn.relative_position_bias_table'],
      ...['attn.qkv.weight', 'attn.qkv.bias', 'attn.proj.weight', 'attn.proj.bias'],
      ...['norm2.weight', 'norm2.bias'],
      ...['mlp.fc1.weight', 'mlp.fc1.bias', 'mlp.fc2.weight', 'mlp.fc2.bias'],
    ].map((name) => `${path}.${name}`)
  assert.equal(
    model.parameters().map((parameter) => parameter.name),
    [
      ...['patch_embed.proj.weight', 'patch_embed.proj.bias'],
      ...['patch_embed.norm.weight', 'patch_embed.norm.bias'],
      ...block('layers.0.blocks.0'),
      ...['layers.1.downsample.norm.weight', 'layers.1.downsample.norm.bias'],
      'layers.1.downsample.reduction.weight',
      ...block('layers.1.blocks.0'),
      ...['norm.weight', 'norm.bias', 'head.fc.weight', 'head.fc.bias'],
    ],
  )
})

test('a map that is no multiple of the window is refused', async () => {
  const config = configs[REFUSED] as SwinSizes
  await rejects(
    () => SwinTransformer.create(optionsOf(config)),
    'ERR_CONFIG',
    '`windowSize`',
    String(config.windowSize),
  )
})

for (const [options, count] of [
  [{ imageSize: 224, classes: 1000 }, 28_288_354],
  [{ imageSize: 224, classes: 10 }, 27_527_044],
  [{ imageSize: 32, classes: 10 }, 27_505_300],
] as const) {
  test(`Swin-T with ${options.classes} classes at ${options.imageSize} px has ${count} parameters`, async () => {
    await using model = await SwinTransformer.create({ ...options, device: TEST_DEVICE })
    assert.is(model.config.windowSize, options.imageSize === 224 ? 7 : 4)
    assert.is(model.parameterCount, count)
    const sizes = model.parameters().map(({ shape }) => shape.reduce((size, side) => size * side))
    assert.is(
      sizes.reduce((sum, size) => sum + size),
      count,
    )
    assert.is(model.units.length, 17)
  })
}

test.run()

// evaluate and predict on the addon: every head's logits, images of any size, single files.
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { PNG } from 'pngjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readImageFolder } from '../../../lib/datasets/image-folder.js'
import { imageFilesOf, readImage } from '../../../lib/datasets/read-image.js'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import { evaluate } from '../../../lib/evaluate/evaluate.js'
import { type Image, predict } from '../../../lib/evaluate/predict.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { makeTempFolder } from '../../helpers/cifar10-fixture.js'
import { atMost, rejects } from '../../helpers/expect.js'
import { byteBatch, TINY } from '../../helpers/tiny.js'

const sharp = createRequire(import.meta.url)('sharp') as typeof import('sharp')['default']
const test = suite<{ model: SwinTransformer; trainer: LocalTrainer; temp: string }>('predict')
const MEAN = [0.5, 0.4, 0.6]
const STD = [0.25, 0.2, 0.3]

test.before(async (context) => {
  context.temp = await makeTempFolder()
  context.model = await SwinTransformer.create({ ...TINY, seed: 3 })
  context.trainer = await LocalTrainer.create(context.model, { modules: 4 })
})

test.after(async ({ model, temp }) => {
  model.dispose()
  await rm(temp, { recursive: true, force: true })
})

/** Noise of any size. */
function noise(height: number, width: number, step = 0): Image {
  const side = Math.max(height, width)
  const { images } = byteBatch(1, step, side)
  return { height, width, images: images.slice(0, 3 * height * width) }
}

function pngOf({ height, width, images }: Image): Buffer {
  const png = new PNG({ width, height })
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < 3; c++) {
      png.data[4 * pixel + c] = images[c * width * height + pixel] as number
    }
    png.data[4 * pixel + 3] = 255
  }
  return PNG.sync.write(png)
}

test("a trainer's last logits are the model's, and its sums those of trainer.evaluate", async ({
  model,
  trainer,
}) => {
  const batch = { ...byteBatch(6), mean: MEAN, std: STD }
  const heads = await trainer.predict(batch)
  assert.equal(
    heads.map(({ shape }) => [...shape]),
    new Array(4).fill([6, 10]),
  )
  const { data } = await model.predict(batch)
  const difference = (values: Float32Array | undefined) =>
    Math.max(...data.map((value, at) => Math.abs(value - (values?.[at] as number))))
  atMost(difference(heads[3]?.data), 1e-5, 'classifier')
  assert.ok(difference(heads[0]?.data) > 1e-3, 'the first head is another one')
})

test('an evaluation counts as trainer.evaluate does, head by head', async ({ trainer }) => {
  const { test: split } = syntheticDataset({ testCount: 40 })
  const { images, labels, height, width, mean, std } = split
  const sums = await trainer.evaluate({ images, labels, height, width, mean, std })
  const result = await evaluate(trainer, split, { batchSize: 16 })
  sums.forEach(({ lossSum, correct }, k) => {
    assert.is(result.modules[k]?.accuracy, correct / 40)
    atMost(Math.abs((result.modules[k]?.loss ?? 0) - lossSum / 40), 1e-5, `loss of head ${k}`)
  })
  assert.is(result.accuracy, result.modules[3]?.accuracy)
  const { confusion } = result
  assert.equal(
    confusion?.map((row) => row.reduce((a, b) => a + b)),
    new Array(10).fill(4),
  )
  const right = confusion?.reduce((sum, row, label) => sum + (row[label] as number), 0)
  assert.is(right, result.accuracy * 40)
  assert.ok((result.top5Accuracy ?? 0) >= result.accuracy)
})

test('with five classes there is no top 5, and a plain network has no modules', async () => {
  await using model = await SwinTransformer.create({ ...TINY, classes: 5 })
  const result = await evaluate(model, syntheticDataset({ testCount: 10, classes: 5 }).test)
  assert.is(result.top5Accuracy, null)
  assert.equal(result.modules, [])
  assert.is(result.perClass.length, 5)
})

test('images of many sizes are each what they are alone, in their order', async ({ trainer }) => {
  const images = [noise(32, 32), noise(50, 40, 1), noise(32, 32, 2), noise(40, 70, 3)]
  const options = { mean: MEAN, std: STD, top: 3, exits: true }
  const together = await predict(trainer, images, options)
  for (const [index, image] of images.entries()) {
    const [alone] = await predict(trainer, [image], options)
    const one = together[index]
    assert.equal(
      one?.top.map(({ label }) => label),
      alone?.top.map(({ label }) => label),
    )
    assert.is(one?.exits.length, 3)
  }
  const labels = together.map(({ top }) => top.map(({ probability }) => probability.toFixed(6)))
  assert.is(new Set(labels.map((l) => l.join())).size, 4, 'every image has its own answer')
})

test('the middle square of an image counts, and nothing beside it', async ({ model }) => {
  const square = noise(20, 20)
  const wide = { height: 20, width: 41, images: new Uint8Array(3 * 20 * 41).fill(7) }
  for (let row = 0; row < 60; row++) {
    wide.images.set(square.images.subarray(row * 20, (row + 1) * 20), row * 41 + 10)
  }
  const options = { mean: MEAN, std: STD, top: 10 }
  const [one, other] = await predict(model, [square, wide], options)
  assert.equal(other, one)
  const sum = one?.top.reduce((total, { probability }) => total + probability, 0) ?? 0
  atMost(Math.abs(sum - 1), 1e-9, 'sum of all probabilities')
})

test('class names are those that are given, else the numbers', async ({ model }) => {
  const options = { mean: MEAN, std: STD, top: 1 }
  const [plain] = await predict(model, [noise(32, 32)], options)
  assert.is(plain?.top[0]?.name, `${plain?.top[0]?.label}`)
  const classes = Array.from({ length: 10 }, (_, k) => `kind ${k}`)
  const [named] = await predict(model, [noise(32, 32)], { ...options, classes })
  assert.is(named?.top[0]?.name, `kind ${named?.top[0]?.label}`)
  const few = { ...options, classes: ['a'] }
  await rejects(() => predict(model, [], few), 'ERR_CONFIG', '10 names', 'received 1')
  const bad = { height: 32, width: 32, images: new Uint8Array(5) }
  await rejects(() => predict(model, [bad], options), 'ERR_SHAPE', '`images` but received 5')
})

test('a PNG comes as its pixels, and a JPEG of it nearly so', async ({ temp }) => {
  const image = noise(9, 13)
  const file = path.join(temp, 'image.png')
  await writeFile(file, pngOf(image))
  assert.equal(await readImage(file), image)
  const plain = path.join(temp, 'plain.jpg')
  const background = { r: 200, g: 30, b: 20 }
  await sharp({ create: { width: 12, height: 8, channels: 3, background } })
    .jpeg()
    .toFile(plain)
  const { height, width, images } = await readImage(plain)
  assert.equal([height, width, images.length], [8, 12, 288])
  atMost(Math.abs((images[0] as number) - 200), 4, 'red')
})

test('with a size a file is prepared as image-folder does', async ({ temp }) => {
  const root = path.join(temp, 'photos')
  for (const split of ['train', 'test']) {
    await mkdir(path.join(root, split, 'a'), { recursive: true })
    await writeFile(path.join(root, split, 'a', '1.png'), pngOf(noise(40, 60)))
  }
  const { test: split } = await readImageFolder(root, { imageSize: 16 })
  const { images } = await readImage(path.join(root, 'test/a/1.png'), { size: 16 })
  assert.equal(images, split.images)
})

test('what is no image, cut off or huge is an error that names the file', async ({ temp }) => {
  const file = path.join(temp, 'bad.png')
  const refuse = async (bytes: Uint8Array | string, ...parts: readonly (string | RegExp)[]) => {
    await writeFile(file, bytes)
    await rejects(() => readImage(file), 'ERR_DATASET', file, ...parts)
  }
  await refuse('text', /Cannot read the image/)
  await refuse('', /Cannot read the image/)
  const whole = pngOf(noise(30, 30))
  await refuse(whole.subarray(0, 12), 'truncated')
  await refuse(whole.subarray(0, whole.length / 2))
  const huge = Buffer.from(whole)
  huge.writeUInt32BE(100_000, 16)
  huge.writeUInt32BE(100_000, 20)
  await refuse(huge, '100000 x 100000 pixels, at most 50000000')
  const photo = await sharp(Buffer.from(noise(64, 64).images), {
    raw: { width: 64, height: 64, channels: 3 },
  })
    .jpeg()
    .toBuffer()
  await refuse(photo.subarray(0, photo.length / 2))
  const large = path.join(temp, 'large.png')
  await writeFile(large, '')
  await truncate(large, 2 ** 28 + 1)
  await rejects(() => readImage(large), 'ERR_DATASET', 'at most 268435456')
  await rejects(() => readImage(temp), 'ERR_DATASET', 'Cannot read the image')
  await rejects(() => readImage(path.join(temp, 'none.png')), 'ERR_DATASET', 'ENOENT')
  await rejects(() => readImage(file, { size: 0 }), 'ERR_CONFIG', '`size` but received 0')
})

test('folders give their images by name, without what is hidden or no image', async ({ temp }) => {
  const root = path.join(temp, 'some')
  await mkdir(path.join(root, 'deep'), { recursive: true })
  for (const name of ['b.png', 'deep/a.JPG', '.hidden.png', 'notes.txt']) {
    await writeFile(path.join(root, name), '')
  }
  const files = await imageFilesOf([root, path.join(root, 'notes.txt')])
  assert.equal(
    files.map((file) => path.relative(root, file)),
    ['b.png', 'deep/a.JPG', 'notes.txt'],
  )
  await mkdir(path.join(temp, 'empty'))
  await rejects(() => imageFilesOf([path.join(temp, 'empty')]), 'ERR_DATASET', 'has no images')
  await rejects(() => imageFilesOf([path.join(temp, 'none')]), 'ERR_DATASET', 'ENOENT')
})

test.run()

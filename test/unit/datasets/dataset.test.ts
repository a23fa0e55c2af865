import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import {
  channelStatistics,
  classHistogram,
  type DatasetDefinition,
  defineDataset,
} from '../../../lib/datasets/dataset.js'
import { batchCount, batches } from '../../../lib/datasets/draw-batches.js'
import { findDataset, openDataset } from '../../../lib/datasets/open.js'
import { shuffledIndices } from '../../../lib/datasets/shuffle.js'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import { golden } from '../../helpers/official-files.js'

function failsWith(code: string, pattern: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof LocalformerError && error.code === code && pattern.test(error.message)
}

/** Five images of 1 x 2 pixels; every byte says where it belongs. */
function tiny(changes: Partial<DatasetDefinition['train']> = {}): DatasetDefinition {
  const images = Uint8Array.from({ length: 5 * 6 }, (_, place) => place)
  const split = { images, labels: Uint8Array.of(0, 1, 0, 1, 1), height: 1, width: 2 }
  return { name: 'tiny', classes: ['a', 'b'], train: { ...split, ...changes }, test: split }
}

test('a data set of arrays counts its images and measures its channels', () => {
  const { train, mean, std } = defineDataset(tiny())
  assert.is(train.count, 5)
  assert.is(train.channels, 3)
  // Red is 0, 1, 6, 7, 12, 13, 18, 19, 24, 25.
  assert.ok(Math.abs(mean[0] - 12.5 / 255) < 1e-12)
  assert.ok(Math.abs(std[0] - Math.sqrt(72.25) / 255) < 1e-12)
  assert.equal(classHistogram(train, 2), [2, 3])
})

test('a data set of arrays that do not agree is refused', () => {
  const refuse = (definition: DatasetDefinition, pattern: RegExp) =>
    assert.throws(() => defineDataset(definition), failsWith('ERR_DATASET', pattern))
  refuse(tiny({ images: new Uint8Array(29) }), /5 x 3 x 1 x 2 = 30 bytes, but they are 29/)
  refuse(tiny({ labels: Uint8Array.of(0, 1, 2, 0, 0) }), /label 2 of record 2 in split train/)
  refuse(tiny({ labels: new Uint8Array(0), images: new Uint8Array(0) }), /train has no images/)
  refuse(tiny({ height: 2, width: 1 }), /train are 2x1 pixels, those of test 1x2/)
  refuse({ ...tiny(), classes: [] }, /no classes/)
})

test('a script makes a data set of its own in ten lines', () => {
  // Stripes across for one class, along for the other.
  const stripes = (count: number) => ({
    images: Uint8Array.from({ length: count * 3 * 64 }, (_, place) => {
      const [row, column] = [(place >> 3) & 7, place & 7]
      return 255 * ((Math.floor(place / 192) % 2 === 0 ? row : column) & 1)
    }),
    labels: Uint8Array.from({ length: count }, (_, image) => image % 2),
    ...{ height: 8, width: 8 },
  })
  const classes = ['across', 'along']
  const data = defineDataset({ name: 'stripes', classes, train: stripes(10), test: stripes(4) })
  assert.equal(classHistogram(data.train, 2), [5, 5])
  assert.equal([...data.test.images.slice(0, 10)], [0, 0, 0, 0, 0, 0, 0, 0, 255, 255])
  assert.equal(data.std, [0.5, 0.5, 0.5])
})

test('batches without shuffling follow the split, the last one is short or left out', () => {
  const { train } = defineDataset(tiny())
  const all = [...batches(train, { batchSize: 2 })]
  assert.equal(
    all.map(({ indices }) => [...indices]),
    [[0, 1], [2, 3], [4]],
  )
  assert.equal([...(all[1]?.images ?? [])], [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23])
  assert.equal(all[1]?.labels, Uint8Array.of(0, 1))
  assert.is([...batches(train, { batchSize: 2, dropLast: true })].length, 2)
  assert.is(batchCount(train, { batchSize: 2 }), 3)
  assert.is(batchCount(train, { batchSize: 2, dropLast: true }), 2)
  assert.is([...batches(train, { batchSize: 9, dropLast: true })].length, 0)
})

test('a batch is a copy, with labels of the type that the split has', () => {
  const labels = Uint16Array.of(0, 1, 0, 1, 1)
  const { train } = defineDataset({ ...tiny(), train: { ...tiny().train, labels } })
  const [batch] = batches(train, { batchSize: 5 })
  batch?.images.fill(255)
  assert.is(train.images[0], 0)
  assert.instance(batch?.labels, Uint16Array)
})

test('what is no image or no class number is refused', () => {
  const { train, ...rest } = tiny()
  const define = (change: object) =>
    defineDataset({ ...rest, train: { ...train, ...change } } as unknown as DatasetDefinition)
  for (const [change, pattern] of [
    [
      { images: new Float32Array(train.images.length) },
      /`train.images` but received "Float32Array"/,
    ],
    [
      { images: undefined },
      /a Uint8Array of pixels 0 to 255 for `train.images` but received nothing/,
    ],
    [{ labels: [0, 1, 1.5, 0, 1] }, /label 1.5 of record 2/],
    [{ labels: [0, 1, -1, 0, 1] }, /label -1 of record 2/],
  ] as const) {
    assert.throws(() => define(change), failsWith('ERR_DATASET', pattern))
  }
  assert.throws(
    () => defineDataset({ ...rest, train, test: undefined } as unknown as DatasetDefinition),
    failsWith('ERR_DATASET', /images and labels for `test` but received nothing/),
  )
})

test('a batch says how large its images are and how they are normalised, as a step has to know', () => {
  const { train } = defineDataset({ ...tiny(), mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] })
  for (const batch of batches(train, { batchSize: 2 })) {
    const { height, width, mean, std } = batch
    assert.equal([height, width], [train.height, train.width])
    assert.equal({ mean, std }, { mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] })
  }
})

test('a shuffled order holds every image once and depends on seed and epoch alone', () => {
  const { train } = syntheticDataset({ trainCount: 100, testCount: 1, imageSize: 1 })
  const order = (options: { batchSize: number; seed?: number; epoch?: number }) =>
    [...batches(train, { shuffle: true, ...options })].flatMap(({ indices }) => [...indices])
  const first = order({ batchSize: 8, seed: 5, epoch: 2 })
  assert.equal(
    [...first].sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, index) => index),
  )
  assert.equal(order({ batchSize: 33, seed: 5, epoch: 2 }), first)
  assert.not.equal(order({ batchSize: 8, seed: 5, epoch: 3 }), first)
  assert.not.equal(order({ batchSize: 8, seed: 6, epoch: 2 }), first)
  assert.equal(order({ batchSize: 8 }), order({ batchSize: 8, seed: 0, epoch: 0 }))
})

test('orders are those of an independent implementation', () => {
  assert.ok(golden.shuffles.length > 0)
  for (const { count, seed, epoch, order } of golden.shuffles) {
    assert.equal([...shuffledIndices(count, seed, epoch)], order)
  }
})

test('every place is equally likely', () => {
  const counts = new Array<number>(25).fill(0)
  for (let seed = 0; seed < 10_000; seed++) {
    shuffledIndices(5, seed, 0).forEach((index, place) => {
      counts[index * 5 + place] = (counts[index * 5 + place] as number) + 1
    })
  }
  // 2,000 expected, standard deviation 40; the seeds are fixed, so this cannot flicker.
  for (const count of counts) assert.ok(Math.abs(count - 2_000) < 200, `${counts}`)
})

test('options of batches are checked when they are given', () => {
  const { train } = defineDataset(tiny())
  const refuse = (options: Parameters<typeof batches>[1], pattern: RegExp) =>
    assert.throws(() => batches(train, options), failsWith('ERR_CONFIG', pattern))
  refuse({ batchSize: 0 }, /at least 1 for `batchSize` but received 0/)
  refuse({ batchSize: 1.5 }, /`batchSize`/)
  refuse({ batchSize: 1, seed: -1 }, /`seed` but received -1/)
  refuse({ batchSize: 1, epoch: Number.NaN }, /`epoch`/)
})

test('the synthetic data set is given by its options', () => {
  const options = { trainCount: 30, testCount: 12, imageSize: 8, classes: 3, seed: 4 }
  const data = syntheticDataset(options)
  assert.is(data.train.count, 30)
  assert.is(data.test.images.length, 12 * 3 * 8 * 8)
  assert.equal(classHistogram(data.train, 3), [10, 10, 10])
  assert.equal(syntheticDataset(options).train.images, data.train.images)
  assert.not.equal(
    syntheticDataset({ ...options, seed: 5 }).train.images.slice(0, 99),
    data.train.images.slice(0, 99),
  )
  assert.equal(data.mean, channelStatistics(data.train).mean)
  assert.throws(() => syntheticDataset({ classes: 0 }), failsWith('ERR_CONFIG', /`classes`/))
  assert.throws(() => syntheticDataset({ seed: 0.5 }), failsWith('ERR_CONFIG', /`seed`/))
})

test('the classes of the synthetic data set can be told apart', () => {
  const { train, test: held, classes } = syntheticDataset({ classes: 4 })
  const bytes = 3 * 32 * 32
  const means = classes.map(() => new Float64Array(bytes))
  train.labels.forEach((label, image) => {
    const mean = means[label] as Float64Array
    for (let place = 0; place < bytes; place++) {
      mean[place] = (mean[place] as number) + (train.images[image * bytes + place] as number) / 128
    }
  })
  const distance = (mean: Float64Array, image: number) =>
    mean.reduce((sum, value, place) => {
      return sum + (value - (held.images[image * bytes + place] as number)) ** 2
    }, 0)
  const right = [...held.labels].filter((label, image) => {
    const distances = means.map((mean) => distance(mean, image))
    return distances.indexOf(Math.min(...distances)) === label
  })
  assert.is(right.length, held.count)
})

test('an unknown name lists the names there are', async () => {
  assert.throws(
    () => findDataset('cifar11'),
    failsWith(
      'ERR_CONFIG',
      /one of cifar10, cifar100, stl10, svhn, svhn-extra, image-folder, synthetic for `dataset` but received "cifar11"/,
    ),
  )
  const data = await openDataset('synthetic', { synthetic: { trainCount: 3 } })
  assert.is(data.train.count, 3)
})

test.run()

// What augmentation makes of a batch: operations against torchvision, crops against PyTorch, and
// what erasing and mixing promise.

import { crc32 } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Augmentation } from '../../../lib/batch/augmentation.js'
import type { PreparedContent } from '../../../lib/batch/prepared-batch.js'
import { setThreads } from '../../../lib/device/threads.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { loadTorch } from '../../../lib/native/load.js'
import { atMost } from '../../helpers/expect.js'
import { readGolden } from '../../helpers/golden.js'
import { byteBatch, TINY } from '../../helpers/tiny.js'

const golden = readGolden('augment')
const SIZE = TINY.imageSize

loadTorch().setThreads(1)
const model = await SwinTransformer.create(TINY)
const trainer = await LocalTrainer.create(model)

async function contentOf(
  images: Uint8Array,
  augment: Augmentation,
  shape: { height?: number; width?: number; labels?: number[] } = {},
): Promise<PreparedContent> {
  const { height = SIZE, width = SIZE } = shape
  const count = images.length / (3 * height * width)
  const labels = shape.labels ?? new Array<number>(count).fill(0)
  using batch = await trainer.prepare({ images, labels, height, width, augment })
  return batch.read()
}

/** The same image `count` times. */
function repeated(image: Uint8Array, count: number): Uint8Array {
  const images = new Uint8Array(count * image.length)
  for (let i = 0; i < count; i++) images.set(image, i * image.length)
  return images
}

/** How often each checksum occurs among images of so many bytes. */
function countChecksums({ pixels }: PreparedContent, bytes: number): Map<number, number> {
  const counts = new Map<number, number>()
  const data = pixels?.data ?? new Uint8Array()
  for (let at = 0; at < data.length; at += bytes) {
    const sum = crc32(data.subarray(at, at + bytes))
    counts.set(sum, (counts.get(sum) ?? 0) + 1)
  }
  return counts
}

for (const { magnitude, height, width, ...want } of golden.randAugment) {
  const image = Uint8Array.from(Buffer.from(want.image, 'hex'))
  const randAugment = (randAugmentOps: number, count: number) =>
    contentOf(
      repeated(image, count),
      { randAugmentOps, randAugmentMagnitude: magnitude, seed: magnitude },
      { height, width },
    )

  test(`RandAugment's operations are torchvision's, to the byte (magnitude ${magnitude})`, async () => {
    const count = 2800
    const counts = countChecksums(await randAugment(1, count), image.length)
    const names = new Map<number, string[]>()
    for (const { name, value, crc32: sum } of want.operations) {
      names.set(sum, [...(names.get(sum) ?? []), `${name} ${value}`])
    }
    for (const sum of counts.keys()) assert.ok(names.has(sum), `result ${sum} is no operation's`)
    // Each of 14 is drawn 200 times on average; one with two directions gives each half as often.
    for (const [sum, which] of names) {
      const share = which.map((name) =>
        /^(Identity|Posterize|Solarize|AutoContrast|Equalize) /.test(name) ? 200 : 100,
      )
      const expected = share.reduce((total, n) => total + n, 0)
      const got = counts.get(sum) ?? 0
      atMost(Math.abs(got - expected), 5 * Math.sqrt(expected), which.join(', '))
    }
  })

  test(`two of them come one after the other (magnitude ${magnitude})`, async () => {
    const counts = countChecksums(await randAugment(2, 1000), image.length)
    const pairs = new Set(want.crc32OfPairs)
    assert.ok(counts.size > 150, `${counts.size} different results`)
    for (const sum of counts.keys()) assert.ok(pairs.has(sum), `result ${sum} is no pair's`)
  })
}

test('crops and flips are those of PyTorch with the same seed', async () => {
  const { height, width, images, cases } = golden.crops
  for (const { crc32: want, ...augment } of cases) {
    const bytes = Uint8Array.from(Buffer.from(images, 'hex'))
    const { pixels } = await contentOf(bytes, augment, { height, width })
    assert.is(crc32(pixels?.data ?? ''), want, JSON.stringify(augment))
  }
})

test('magnitude 0 leaves all but inversion, stretching and evening out alone', async () => {
  const image = byteBatch(1).images
  const content = await contentOf(repeated(image, 200), {
    randAugmentOps: 1,
    randAugmentMagnitude: 0,
  })
  const unchanged = countChecksums(content, image.length).get(crc32(image)) ?? 0
  // Solarize inverts 255 alone, which this image has not.
  atMost(Math.abs(unchanged - (200 * 12) / 14), 25, 'unchanged images off')
})

/** Smallest rectangle around the pixels for which `inside` holds; undefined without any. */
function boxOf(inside: (y: number, x: number) => boolean) {
  let [top, left, bottom, right]: [number, number, number, number] = [SIZE, SIZE, -1, -1]
  let count = 0
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++) {
      if (!inside(y, x)) continue
      count++
      top = Math.min(top, y)
      left = Math.min(left, x)
      bottom = Math.max(bottom, y)
      right = Math.max(right, x)
    }
  }
  if (count === 0) return undefined
  return { height: bottom - top + 1, width: right - left + 1, count }
}

/** Value of a pixel of image i. */
const pixelOf = ({ images }: PreparedContent) => {
  return (i: number, c: number, y: number, x: number) =>
    images.data[((i * 3 + c) * SIZE + y) * SIZE + x] as number
}

test('erasing sets a rectangle of 2 to 33 % of the area to the mean, in some of the images', async () => {
  const count = 400
  const images = new Uint8Array(count * 3 * SIZE * SIZE).fill(255)
  const content = await contentOf(images, { erasing: 0.25, seed: 3 })
  const at = pixelOf(content)
  let erased = 0
  let [smallest, largest] = [1, 0]
  for (let i = 0; i < count; i++) {
    const box = boxOf((y, x) => at(i, 0, y, x) === 0)
    const other = boxOf((y, x) => [0, 1, 2].every((c) => at(i, c, y, x) === 0))
    assert.equal(other, box, 'in all channels alike')
    if (box === undefined) continue
    erased++
    assert.is(box.count, box.height * box.width, 'a rectangle without holes')
    const area = box.count / SIZE ** 2
    smallest = Math.min(smallest, area)
    largest = Math.max(largest, area)
    // Sides are whole pixels, so that both limits are met but for rounding.
    const rounding = (1 + 0.5 / (box.height - 0.5)) * (1 + 0.5 / (box.width - 0.5))
    assert.ok(area <= 0.33 * rounding && area >= 0.02 / rounding, `area ${area}`)
    const ratio = box.height / box.width
    assert.ok(ratio <= 3.3 * rounding && ratio >= 0.3 / rounding, `ratio ${ratio}`)
  }
  atMost(Math.abs(erased - 100), 40, 'erased images off')
  assert.ok(smallest < 0.05 && largest > 0.28, `areas ${smallest} to ${largest}`)
})

const LABELS = Array.from({ length: 6 }, (_, i) => i)

test('mixup blends an image with its partner by the share that the label has', async () => {
  const { images } = byteBatch(6)
  const plain = pixelOf(await contentOf(images, {}))
  const content = await contentOf(images, { mixup: 1, seed: 4 }, { labels: LABELS })
  const at = pixelOf(content)
  const { labels, otherLabels, labelShares } = content
  for (let i = 0; i < 6; i++) {
    const [label, other] = [labels[i] as number, otherLabels?.[i] as number]
    const share = labelShares?.[i] as number
    assert.equal([label, other].sort(), [i, 5 - i].sort(), 'its own label and its partner’s')
    assert.ok(share >= 0.5 && share <= 1, `the first label has the larger share: ${share}`)
    for (const [c, y, x] of [
      [0, 0, 0],
      [1, 9, 30],
      [2, 31, 31],
      [0, 17, 5],
    ] as const) {
      const want = share * plain(label, c, y, x) + (1 - share) * plain(other, c, y, x)
      atMost(Math.abs(at(i, c, y, x) - want), 1e-6, `image ${i}`)
    }
  }
})

test('cutmix replaces a rectangle by the partner’s pixels and counts them for the label', async () => {
  const { images } = byteBatch(6)
  const plain = pixelOf(await contentOf(images, {}))
  let replaced = 0
  for (let seed = 0; seed < 10; seed++) {
    const content = await contentOf(images, { cutmix: 1, seed }, { labels: LABELS })
    const at = pixelOf(content)
    for (let i = 0; i < 6; i++) {
      const same = (of: number, y: number, x: number) =>
        [0, 1, 2].every((c) => at(i, c, y, x) === plain(of, c, y, x))
      const box = boxOf((y, x) => !same(i, y, x))
      const taken = boxOf((y, x) => same(5 - i, y, x))
      assert.equal(taken, box, 'what is not its own is its partner’s')
      assert.is(box?.count, box && box.height * box.width)
      const own = 1 - (box?.count ?? 0) / SIZE ** 2
      const ownIsFirst = content.labels[i] === i
      const share = content.labelShares?.[i] as number
      atMost(Math.abs((ownIsFirst ? share : 1 - share) - own), 1e-6, 'share of its own pixels')
      assert.ok(share >= 0.5)
      if (box) replaced++
    }
  }
  assert.ok(replaced > 40, `${replaced} of 60 have a rectangle`)
})

test('shares follow Beta(alpha, alpha), for very small alphas too', async () => {
  const count = 2000
  const images = new Uint8Array(count * 3 * 4)
  for (const alpha of [1e-4, 0.2, 1, 4]) {
    const content = await contentOf(images, { mixup: alpha, seed: 1 }, { height: 2, width: 2 })
    const shares = Array.from(content.labelShares ?? [])
    assert.is(shares.length, count)
    assert.ok(shares.every((share) => share >= 0.5 && share <= 1))
    const variance = shares.reduce((sum, share) => sum + (share - 0.5) ** 2, 0) / count
    const want = 1 / (4 * (2 * alpha + 1))
    atMost(Math.abs(variance / want - 1), 0.12, `variance for alpha ${alpha}`)
  }
})

test('with mixup and cutmix an image takes either, and some are left alone', async () => {
  const count = 300
  // Every dark image meets a bright one.
  const images = new Uint8Array(count * 3 * SIZE * SIZE).fill(255, (count / 2) * 3 * SIZE * SIZE)
  const content = await contentOf(images, { mixup: 1, cutmix: 1, mixProbability: 0.5, seed: 2 })
  const at = pixelOf(content)
  const kinds = { none: 0, mixup: 0, cutmix: 0 }
  for (let i = 0; i < count; i++) {
    const own = i < count / 2 ? 0 : 1
    if (boxOf((y, x) => at(i, 0, y, x) !== own) === undefined) kinds.none++
    else if (boxOf((y, x) => at(i, 0, y, x) % 1 !== 0)) kinds.mixup++
    else kinds.cutmix++
  }
  atMost(Math.abs(kinds.none - 150), 45, `none off: ${JSON.stringify(kinds)}`)
  atMost(Math.abs(kinds.mixup - 75), 35, `mixup off: ${JSON.stringify(kinds)}`)
  atMost(Math.abs(kinds.cutmix - 75), 35, `cutmix off: ${JSON.stringify(kinds)}`)
})

const EVERYTHING = {
  ...{ cropPadding: 4, cropMode: 'zero', flip: true, randAugmentOps: 2, erasing: 0.5 },
  ...{ mixup: 0.8, cutmix: 1, seed: 12 },
} as const satisfies Augmentation

test('a seed gives the same batch whatever the number of threads, another seed another', async () => {
  const { images } = byteBatch(9)
  try {
    setThreads(1)
    const want = await contentOf(images, EVERYTHING)
    for (const threads of [2, 4]) {
      setThreads(threads)
      assert.equal(await contentOf(images, EVERYTHING), want, `${threads} threads`)
    }
    const other = await contentOf(images, { ...EVERYTHING, seed: 13 })
    assert.not.equal(other.pixels, want.pixels)
    assert.not.equal(other.labelShares, want.labelShares)
  } finally {
    setThreads(1)
  }
})

test('an image’s numbers do not depend on how many come after it, nor on other operations', async () => {
  const { images } = byteBatch(8)
  const augment = { randAugmentOps: 2, erasing: 0.5, seed: 6 }
  const whole = await contentOf(images, augment)
  const half = await contentOf(images.slice(0, images.length / 2), augment)
  const begin = half.images.data.length
  assert.equal(half.images.data, whole.images.data.slice(0, begin))
  const erasingAlone = await contentOf(images, { erasing: 0.5, seed: 6 })
  const zeros = ({ images: { data } }: PreparedContent) =>
    Array.from(data.keys()).filter((i) => data[i] === 0 && images[i] !== 0)
  const erased = new Set(zeros(whole))
  assert.ok(zeros(erasingAlone).every((i) => erased.has(i)))
})

test('images of another size are resized before they are erased and mixed', async () => {
  const { images } = byteBatch(4, 0, 48)
  const plain = pixelOf(await contentOf(images, {}, { height: 48, width: 48 }))
  const content = await contentOf(images, { cutmix: 1, seed: 1 }, { height: 48, width: 48 })
  const at = pixelOf(content)
  assert.equal(content.pixels?.shape, [4, 3, 48, 48])
  assert.equal(content.images.shape, [4, 3, SIZE, SIZE])
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++) {
      const value = at(1, 0, y, x)
      assert.ok(value === plain(1, 0, y, x) || value === plain(2, 0, y, x))
    }
  }
})

test.after(() => model.dispose())
test.run()

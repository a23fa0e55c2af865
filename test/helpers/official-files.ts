// Tiny data sets of made-up bytes in their official layouts, the same that make-dataset-golden.py
// makes, and what an independent reader (numpy, scipy) found in them: counts, sums, statistics.
import { readFileSync } from 'node:fs'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import {
  channelStatistics,
  classHistogram,
  type Dataset,
  type ImageSplit,
} from '../../lib/datasets/dataset.js'

const fixtures = fileURLToPath(new URL('../../../test/fixtures/golden', import.meta.url))

export interface GoldenSplit {
  count: number
  size: number[]
  perClass: number[]
  channelSums: number[]
  placeSum: number
  firstSums: number[]
  firstLabels: number[]
  mean: number[]
  std: number[]
}

export interface GoldenDataset {
  train: GoldenSplit
  test: GoldenSplit
  /** Of the files that were read. */
  sha256?: Record<string, string>
}

export const golden = JSON.parse(readFileSync(path.join(fixtures, 'dataset.json'), 'utf8')) as {
  tiny: Record<'cifar100' | 'stl10' | 'svhn' | 'svhn-extra', GoldenDataset>
  subsets: Record<'cifar10' | 'cifar100' | 'stl10' | 'svhn', GoldenDataset>
  shuffles: { count: number; seed: number; epoch: number; order: number[] }[]
}

/** The generator's bytes: a multiplicative hash of the place. */
function formula(stream: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, place) => {
    const mixed = (Math.imul(place, 2_654_435_761) + stream * 40_503) >>> 0
    return (mixed >>> 13) & 255
  })
}

/** File name -> bytes of a CIFAR-100 of 7 + 3 records. */
export function cifar100Files(): Map<string, Uint8Array> {
  const file = (stream: number, count: number) =>
    formula(stream, count * 3_074).map((byte, place) => {
      const within = place % 3_074
      return within === 0 ? byte % 20 : within === 1 ? byte % 100 : byte
    })
  return new Map([
    ['train.bin', file(1, 7)],
    ['test.bin', file(2, 3)],
  ])
}

/** File name -> bytes of an STL-10 of 4 + 2 images. */
export function stl10Files(): Map<string, Uint8Array> {
  const labels = (stream: number, count: number) =>
    formula(stream, count).map((byte) => 1 + (byte % 10))
  return new Map([
    ['train_X.bin', formula(3, 4 * 27_648)],
    ['train_y.bin', labels(5, 4)],
    ['test_X.bin', formula(4, 2 * 27_648)],
    ['test_y.bin', labels(6, 2)],
  ])
}

const SVHN_FIXTURES = path.join(fixtures, 'svhn')

/** scipy's files: an SVHN of 5 + 3 images, and 2 extra ones. */
export async function copySvhn(folder: string): Promise<void> {
  await cp(SVHN_FIXTURES, folder, { recursive: true })
}

export function readSvhnFile(name: 'train' | 'test' | 'extra'): Uint8Array {
  return readFileSync(path.join(SVHN_FIXTURES, `${name}_32x32.mat`))
}

export async function writeFiles(
  folder: string,
  files: ReadonlyMap<string, string | Uint8Array>,
): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, bytes] of files) await writeFile(path.join(folder, name), bytes)
}

/** Both splits hold what the independent reader found. */
export function assertGolden(data: Dataset, wanted: GoldenDataset): void {
  for (const name of ['train', 'test'] as const) {
    const found = describeSplit(data[name], data.classes.length)
    const { mean, std, ...exact } = wanted[name]
    assert.equal(found.exact, exact, `${data.name}, ${name}`)
    for (const [kind, values] of Object.entries({ mean, std })) {
      values.forEach((value, channel) => {
        const got = found.statistics[kind as 'mean' | 'std'][channel] as number
        assert.ok(Math.abs(got - value) < 1e-10, `${name}: ${kind} ${got}, not ${value}`)
      })
    }
  }
}

function describeSplit(split: ImageSplit, classes: number) {
  const { images, labels, count, height, width } = split
  const plane = height * width
  const channelSums = [0, 0, 0]
  const imageSums = new Float64Array(count)
  let placeSum = 0
  images.forEach((value, index) => {
    const place = index % (3 * plane)
    const [image, channel] = [Math.floor(index / (3 * plane)), Math.floor(place / plane)]
    channelSums[channel] = (channelSums[channel] as number) + value
    imageSums[image] = (imageSums[image] as number) + value
    placeSum += value * (place + 1)
  })
  const exact = {
    count,
    size: [height, width],
    perClass: classHistogram(split, classes),
    channelSums,
    placeSum,
    firstSums: [...imageSums.slice(0, 10)],
    firstLabels: [...labels.slice(0, 10)],
  }
  return { exact, statistics: channelStatistics(split) }
}

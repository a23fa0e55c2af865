import { PNG } from 'pngjs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { contactSheet } from '../../../lib/datasets/contact-sheet.js'
import { type Dataset, defineDataset } from '../../../lib/datasets/dataset.js'

/** Images of one colour each: red is the class, green the place in the split, blue 7. */
function plainImages(labels: readonly number[], classes: number, side: number): Dataset {
  const images = Uint8Array.from({ length: labels.length * 3 * side * side }, (_, place) => {
    const image = Math.floor(place / (3 * side * side))
    return [labels[image] as number, image, 7][Math.floor(place / (side * side)) % 3] as number
  })
  const split = { images, labels: Uint8Array.from(labels), height: side, width: side }
  const names = Array.from({ length: classes }, (_, label) => `${label}`)
  return defineDataset({ name: 'plain', classes: names, train: split, test: split })
}

async function draw(data: Dataset) {
  const sheet = await contactSheet(data)
  const png = PNG.sync.read(Buffer.from(sheet.png))
  const pixel = (x: number, y: number) => {
    const place = (y * png.width + x) * 4
    return [...png.data.subarray(place, place + 3)]
  }
  return { ...sheet, png, pixel }
}

test('a row holds the first ten images of its class, white where there are fewer', async () => {
  const labels = [1, 0, 1, ...new Array(12).fill(2)]
  const { png, pixel, rows } = await draw(plainImages(labels, 3, 4))
  assert.is(rows, 3)
  assert.equal([png.width, png.height], [10 * 6 + 2, 3 * 6 + 2])
  assert.equal(pixel(2, 2), [0, 1, 7])
  assert.equal(pixel(5, 5), [0, 1, 7], 'its last pixel')
  assert.equal(pixel(6, 2), [255, 255, 255], 'between two images')
  assert.equal(pixel(8, 2), [255, 255, 255], 'one image of class 0')
  assert.equal(pixel(2, 8), [1, 0, 7])
  assert.equal(pixel(8, 8), [1, 2, 7])
  assert.equal(pixel(2 + 9 * 6, 14), [2, 12, 7], 'the tenth image')
  assert.equal(pixel(0, 15), [255, 255, 255], 'where an eleventh would run over')
})

test('large images are made smaller by means', async () => {
  const side = 200
  const images = new Uint8Array(3 * side * side)
  // Columns 0, 30, 60, 0, ...: three make one.
  for (let place = 0; place < images.length; place++) images[place] = 30 * ((place % side) % 3)
  const split = { images, labels: Uint8Array.of(0), height: side, width: side }
  const data = defineDataset({ name: 'columns', classes: ['a'], train: split, test: split })
  const { png, pixel } = await draw(data)
  assert.equal([png.width, png.height], [10 * 69 + 2, 69 + 2])
  assert.equal(pixel(2, 2), [30, 30, 30])
  assert.equal(pixel(2 + 66, 2 + 66), [15, 15, 15], 'of the two columns that are left')
})

test('of many classes the first hundred are drawn', async () => {
  const labels = Array.from({ length: 120 }, (_, label) => label)
  const { png, rows, pixel } = await draw(plainImages(labels, 120, 2))
  assert.is(rows, 100)
  assert.is(png.height, 100 * 4 + 2)
  assert.equal(pixel(2, 99 * 4 + 2), [99, 99, 7])
})

test.run()

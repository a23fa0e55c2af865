// evaluate and predict as a user runs them on a run folder.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { PNG } from 'pngjs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { syntheticDataset } from '../../lib/datasets/synthetic.js'
import { loadRun } from '../../lib/run-folder/load-run.js'

import { readCheckpoint, writeCheckpoint } from '../../lib/weights/checkpoint.js'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-predict-'))
const RUN = path.join(folder, 'run')

function localformer(...args: readonly string[]) {
  const options = { encoding: 'utf8', cwd: folder } as const
  return spawnSync(process.execPath, [CLI, ...args, '--device', 'cpu', '--quiet'], options)
}

function json(...args: readonly string[]) {
  const { status, stdout, stderr } = localformer(...args, '--json')
  assert.is(status, 0, stderr)
  return JSON.parse(stdout)
}

/** Writes an image of a data set as PNG. */
function writePng(file: string, images: Uint8Array, side: number): void {
  const png = new PNG({ width: side, height: side })
  for (let pixel = 0; pixel < side * side; pixel++) {
    for (let c = 0; c < 3; c++) {
      png.data[4 * pixel + c] = images[c * side * side + pixel] as number
    }
    png.data[4 * pixel + 3] = 255
  }
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, PNG.sync.write(png))
}

test.before(() => {
  const network = ['--dataset', 'synthetic', '--variant', 'micro', '--image-size', '32']
  const brief = ['--batch-size', '16', '--max-steps', '24', '--test-limit', '0']
  json('train', ...network, ...brief, '--run', 'paper:2', '--run-dir', RUN)
})

test.after(() => rmSync(folder, { recursive: true, force: true }))

test('evaluate says which classes are mixed up, as JSON, text and CSV', () => {
  const csv = path.join(folder, 'confusion.csv')
  const { confusion, perClass, count, accuracy, modules } = json('evaluate', RUN)
  assert.is(
    confusion.flat().reduce((a: number, b: number) => a + b),
    count,
  )
  assert.is(perClass.length, 10)
  assert.is(modules[1].accuracy, accuracy)
  assert.type(modules[0].top5Accuracy, 'number')
  const { status, stdout, stderr } = localformer('evaluate', RUN, '--confusion', csv)
  assert.is(status, 0, stderr)
  assert.match(stdout, /^module 2 +\d+\.\d+ % +\d+\.\d+ % +\d+\.\d+$/m)
  assert.match(stdout, 'True class in the row')
  const [, first] = readFileSync(csv, 'utf8').split('\r\n')
  assert.is(first, ['class 0', ...confusion[0]].join(','))
})

test('a place without weights is named, with what it should be', () => {
  for (const [place, text] of [
    ['nowhere', 'There is no nowhere'],
    ['.', '. holds no weights.safetensors'],
  ] as const) {
    const { status, stderr } = localformer('evaluate', place)
    assert.is(status, 1)
    assert.match(stderr, text)
    assert.match(stderr, 'Name the folder of a run')
  }
})

test('predict finds in a file what evaluate finds in the data set', async () => {
  const { test: split } = syntheticDataset()
  const bytes = 3 * 32 * 32
  for (let image = 0; image < 20; image++) {
    const pixels = split.images.subarray(image * bytes, (image + 1) * bytes)
    writePng(path.join(folder, 'images', `${100 + image}.png`), pixels, 32)
  }
  const { confusion } = json('evaluate', RUN, '--limit', '20')
  const { predictions } = json('predict', RUN, 'images', '--top', '2', '--exits')
  const matrix = Array.from({ length: 10 }, () => new Array<number>(10).fill(0))
  for (const [image, { file, top, exits }] of predictions.entries()) {
    assert.is(file, path.join('images', `${100 + image}.png`))
    assert.is(top.length, 2)
    assert.is(exits.length, 1)
    assert.is(top[0].name, `class ${top[0].label}`)
    const row = matrix[image % 10] as number[]
    row[top[0].label] = (row[top[0].label] ?? 0) + 1
  }
  assert.equal(matrix, confusion)
  const { stdout } = localformer('predict', RUN, 'images/100.png', 'images/101.png', '--exits')
  assert.match(stdout, /^images\/100\.png +class \d \d+\.\d % /m)
  assert.is(stdout.match(/^ {2}module 1 /gm)?.length, 2)
})

test('a file that cannot be read is told, and does not keep the others from being looked at', () => {
  const whole = readFileSync(path.join(folder, 'images/100.png'))
  mkdirSync(path.join(folder, 'mixed'))
  for (const name of ['a.png', 'c.png']) writeFileSync(path.join(folder, 'mixed', name), whole)
  writeFileSync(path.join(folder, 'mixed', 'b.png'), whole.subarray(0, whole.length / 2))
  const { status, stdout, stderr } = localformer('predict', RUN, 'mixed')
  assert.is(status, 1)
  assert.match(stdout, /^mixed\/a\.png +class \d/m)
  assert.match(stdout, /^mixed\/c\.png +class \d/m)
  assert.not.match(stdout, 'b.png')
  assert.is(
    stderr,
    'localformer: Cannot read the image mixed/b.png: it is truncated, within IDAT [ERR_DATASET]\n',
  )
  const asJson = localformer('predict', RUN, 'mixed', '--json')
  assert.is(asJson.status, 1)
  const { predictions, failures } = JSON.parse(asJson.stdout)
  const files = (list: { file: string }[]) => list.map(({ file }) => file)
  assert.equal(
    [files(predictions), files(failures)],
    [['mixed/a.png', 'mixed/c.png'], ['mixed/b.png']],
  )
  assert.is(failures[0].code, 'ERR_DATASET')
})

test('where no file can be read there is one error, and no result', () => {
  mkdirSync(path.join(folder, 'broken'))
  for (const name of ['a.png', 'b.png'])
    writeFileSync(path.join(folder, 'broken', name), 'no image')
  const { status, stdout, stderr } = localformer('predict', RUN, 'broken')
  assert.is(status, 1)
  assert.is(stdout, '')
  assert.match(
    stderr,
    'None of 2 images could be read. The first: Cannot read the image broken/a.png',
  )
})

test('the weights of a checkpoint are taken where they are asked for', async () => {
  const best = path.join(RUN, 'checkpoints', 'best')
  const { status, stderr } = localformer('evaluate', RUN, '--weights', 'best')
  assert.is(status, 1)
  assert.match(stderr, 'has no checkpoint best')
  // Other weights than the latest: the classifier answers class 3 to everything.
  const { model } = await loadRun(RUN, 'cpu')
  model.dispose()
  const files = ['weights.safetensors', 'model.safetensors'].map((name) => path.join(RUN, name))
  const { tensors, metadata } = await readCheckpoint(files[0] as string).catch(() =>
    readCheckpoint(files[1] as string),
  )
  tensors['head.fc.bias']?.data.set([0, 0, 0, 1e4])
  mkdirSync(best, { recursive: true })
  await writeCheckpoint(path.join(best, 'weights.safetensors'), { tensors, metadata })
  const { confusion } = json('evaluate', RUN, '--weights', 'best')
  for (const row of confusion)
    assert.is(
      row[3],
      row.reduce((a: number, b: number) => a + b),
    )
})

test('wrong places and options are told, with what is right', async () => {
  const plain = path.join(folder, 'plain.safetensors')
  const tensors = { x: { shape: [1], data: new Float32Array(1) } }
  await writeCheckpoint(plain, { tensors, metadata: {} })
  cpSync(plain, path.join(folder, 'text.png'))
  mkdirSync(path.join(folder, 'empty'))
  const wrong: readonly [readonly string[], number, string][] = [
    [['evaluate', RUN, '--run', 'x'], 2, 'Unknown option: --run'],
    [['evaluate', '--run', RUN], 2, 'Expected <run> after `evaluate`'],
    [['evaluate', RUN, '--confusion', 'none/c.csv'], 2, 'there is no folder'],
    [['evaluate', plain], 1, 'was not written by a run'],
    [['predict', plain, 'images'], 1, 'was not written by a run'],
    [['predict', RUN], 2, 'Expected <files..> after `predict`'],
    [['predict', RUN, 'images', '--top', '0'], 2, '`top` but received 0'],
    [['predict', RUN, 'text.png'], 1, 'Cannot read the image text.png'],
    [['predict', RUN, 'none.png'], 1, 'Cannot read the image none.png'],
    [['predict', RUN, 'empty'], 1, 'The folder empty has no images'],
  ]
  for (const [args, code, text] of wrong) {
    const { status, stdout, stderr } = localformer(...args)
    assert.is(status, code, `${args.join(' ')}: ${stderr}`)
    assert.is(stdout, '')
    assert.match(stderr, text)
  }
})

test.run()

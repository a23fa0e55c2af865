// A run that a script made of images of its own, in the hands of the command line.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const CLI = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const INDEX = new URL('../../lib/index.js', import.meta.url).href
const root = mkdtempSync(path.join(tmpdir(), 'localformer-script-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

const DATA = `
import { defineDataset } from '${INDEX}'
const split = (count, from) => ({
  images: Uint8Array.from({ length: count * 3072 }, (_, i) => (i * (7 + from)) % 251),
  labels: Uint8Array.from({ length: count }, (_, i) => (i + from) % 3),
  height: 32,
  width: 32,
})
export default () =>
  defineDataset({ name: 'mine', classes: ['a', 'b', 'c'], train: split(48, 0), test: split(12, 1) })
`
const SCRIPT = `
import { createRun, LocalTrainer, SwinTransformer } from '${INDEX}'
import data from './data.mjs'
const model = await SwinTransformer.create({
  variant: 'micro', imageSize: 32, classes: 3, device: 'cpu',
})
const trainer = await LocalTrainer.create(model, { method: 'greedy', modules: 2 })
const options = { epochs: 2, batchSize: 16 }
const run = await createRun({ trainer, data: data(), options }, { directory: process.argv[2] })
const last = Number(process.argv[3])
for await (const event of run.events()) if (event.type === 'epoch' && event.epoch === last) break
if (last > 2) await run.finish()
await run.dispose()
model.dispose()
`

const OWN_LOOP = `
import { batches, createRun, evaluate, LocalTrainer, SwinTransformer } from '${INDEX}'
import makeData from './data.mjs'
const data = makeData()
const model = await SwinTransformer.create({
  variant: 'micro', imageSize: 32, classes: 3, device: 'cpu',
})
const trainer = await LocalTrainer.create(model, { method: 'greedy', modules: 2 })
const run = await createRun({ trainer, data }, { directory: process.argv[2] })
for (const batch of batches(data.train, { batchSize: 16 })) {
  run.record({ step: await trainer.step(batch), images: 16 })
}
run.record({ evaluation: await evaluate(trainer, data.test) })
await run.finish()
await run.dispose()
model.dispose()
`

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root })
}

function cli(...args: readonly string[]) {
  const { status, stdout, stderr } = run(CLI, ...args)
  assert.is(status, 0, stderr)
  return stdout
}

test.before(() => {
  writeFileSync(path.join(root, 'data.mjs'), DATA)
  writeFileSync(path.join(root, 'script.mjs'), SCRIPT)
  writeFileSync(path.join(root, 'own-loop.mjs'), OWN_LOOP)
  for (const args of [
    ['script.mjs', 'whole', '9'],
    ['script.mjs', 'left', '2'],
    ['own-loop.mjs', 'own'],
  ]) {
    const { status, stderr } = run(...args)
    assert.is(status, 0, stderr)
  }
})

test('evaluate and predict read it, with the images of its module', () => {
  const given = ['--data-module', 'data.mjs', '--json']
  const { accuracy, dataset } = JSON.parse(cli('evaluate', 'whole', ...given))
  const summary = JSON.parse(readFileSync(path.join(root, 'whole/summary.json'), 'utf8'))
  assert.is(accuracy, summary.evaluation.accuracy)
  assert.is(dataset, 'mine')
})

test('train --resume goes on with it as the script would', () => {
  assert.not.ok(existsSync(path.join(root, 'left/summary.json')))
  cli('train', '--resume', 'left', '--data-module', 'data.mjs')
  const [left, whole] = ['left', 'whole'].map((folder) =>
    readFileSync(path.join(root, folder, 'weights.safetensors')),
  )
  assert.ok(left?.equals(whole as Buffer))
})

test('a report shows it alone and beside another', () => {
  cli('report', 'whole', '--output', 'one.html')
  cli('report', 'whole', 'left', '--output', 'two.html')
  assert.match(readFileSync(path.join(root, 'one.html'), 'utf8'), 'greedy:2')
})

test('evaluate and a report read that of a loop of its own', () => {
  const given = ['--data-module', 'data.mjs', '--json']
  const { loss } = JSON.parse(cli('evaluate', 'own', ...given))
  const summary = JSON.parse(readFileSync(path.join(root, 'own/summary.json'), 'utf8'))
  assert.is(loss, summary.evaluation.loss)
  cli('report', 'whole', 'own', '--output', 'own.html')
})

test('a new run begins with its weights, and with images of a module', () => {
  cli(
    ...['train', '--data-module', 'data.mjs', '--variant', 'micro', '--batch-size', '16'],
    ...['--init', 'whole/weights.safetensors', '--run-dir', 'new', '--run', 'greedy:2'],
  )
  assert.ok(existsSync(path.join(root, 'new/summary.json')))
})

test('a new run begins with the newest weights of a run folder', () => {
  for (const folder of ['whole', 'own']) {
    const output = cli(
      ...['train', '--data-module', 'data.mjs', '--variant', 'micro', '--batch-size', '16'],
      ...['--init', folder, '--run-dir', `from-${folder}`, '--run', 'greedy:2', '--json'],
      ...['--epochs', '1', '--learning-rate', '0'],
    )
    const { evaluation } = JSON.parse(output)
    const before = JSON.parse(readFileSync(path.join(root, folder, 'summary.json'), 'utf8'))
    assert.is(evaluation.loss, before.evaluation.loss)
  }
})

test('without the images it is told where they come from', () => {
  for (const args of [
    ['evaluate', 'whole'],
    ['train', '--resume', 'left', '--epochs', '3'],
  ]) {
    const { status, stderr } = run(CLI, ...args)
    assert.ok(status === 1 || status === 2, stderr)
    assert.match(stderr, '--data-module')
  }
})

test('a module that gives no data set is told', () => {
  writeFileSync(path.join(root, 'none.mjs'), 'export const data = 1\n')
  writeFileSync(path.join(root, 'broken.mjs'), 'throw new Error("no images here")\n')
  for (const [file, text] of [
    ['none.mjs', 'export default defineDataset'],
    ['broken.mjs', 'no images here'],
    ['absent.mjs', 'There is no module'],
  ] as const) {
    const { status, stderr } = run(CLI, 'evaluate', 'whole', '--data-module', file)
    assert.is(status, 1, stderr)
    assert.match(stderr, text)
  }
})

test.run()

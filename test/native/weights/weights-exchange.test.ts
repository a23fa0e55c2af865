// Weights in both directions between here and the real timm and torchvision, through real safetensors
// files. Runs where Python has both (`PYTHON`, default python3); test/native/weights.test.ts does the
// same with golden numbers everywhere.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { PNG } from 'pngjs'
import { test as plain } from 'uvu'
import * as assert from 'uvu/assert'
import {
  exportWeights,
  loadWeights,
  predict,
  readImage,
  type SwinOptions,
  SwinTransformer,
  type Tensors,
} from '../../../lib/index.js'
import { readCheckpoint, writeCheckpoint } from '../../../lib/weights/checkpoint.js'
import { atMost, rejects } from '../../helpers/expect.js'
import { relative } from '../../helpers/golden.js'

const PYTHON = process.env.PYTHON || 'python3'
const SCRIPT = fileURLToPath(
  new URL('../../../../test/fixtures/golden/check_weights_exchange.py', import.meta.url),
)

function python(...args: readonly string[]) {
  return spawnSync(PYTHON, args, { encoding: 'utf8', timeout: 300_000 })
}

const probe = python('-c', 'import timm, torchvision, safetensors')
const isThere = probe.status === 0
if (!isThere) {
  const reason = probe.error?.message ?? probe.stderr.trim().split('\n').at(-1)
  console.log(`SKIP: ${PYTHON} lacks timm, torchvision or safetensors: ${reason}`)
}
const test = isThere ? plain : plain.skip

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-exchange-'))
const at = (name: string) => path.join(folder, name)
let reference: Tensors

plain.before(async () => {
  if (!isThere) return
  const { status, stderr } = python('-B', SCRIPT, 'write', folder)
  assert.is(status, 0, stderr)
  reference = (await readCheckpoint(at('reference.safetensors'))).tensors
})

plain.after(() => rmSync(folder, { recursive: true, force: true }))

const SMALL: SwinOptions = {
  ...{ imageSize: 32, patchSize: 2, windowSize: 4, embedDim: 16, depths: [2, 1, 2] },
  ...{ heads: [1, 2, 4], classes: 5, device: 'cpu' },
}
const TINY: SwinOptions = { classes: 5, device: 'cpu' }
const NETWORKS = {
  'timm-small': SMALL,
  'torchvision-small': SMALL,
  'timm-tiny': TINY,
  'torchvision-tiny': TINY,
} as const
const IN = {
  ...NETWORKS,
  'timm-small-half': SMALL,
  'timm-small-brain': SMALL,
  'timm-small-double': SMALL,
}

function tensor(name: string): Float32Array {
  return (reference[name] as { data: Float32Array }).data
}

for (const [name, options] of Object.entries(IN)) {
  test(`${name}: weights that Python wrote give Python's logits`, async () => {
    await using model = await SwinTransformer.create(options)
    const { format } = await loadWeights(model, at(`${name}.safetensors`))
    assert.is(format, name.split('-')[0])
    const images = tensor(`images-${model.config.imageSize}`)
    const { data } = await model.predict({ images })
    atMost(relative(data, [...tensor(name)]), 2e-5, 'logits')
  })
}

test('weights written here are loaded strictly by both packages, with the same logits', async () => {
  const logits: Record<string, Tensors[string]> = {}
  for (const [name, options] of Object.entries(NETWORKS)) {
    // Those of the other package, so that they went both ways.
    const other = name.replace(/^\w+/, (it) => (it === 'timm' ? 'torchvision' : 'timm'))
    await using model = await SwinTransformer.create(options)
    await loadWeights(model, at(`${other}.safetensors`))
    const format = name.startsWith('timm') ? 'timm' : 'torchvision'
    await exportWeights(model, at(`out-${name}.safetensors`), { format })
    logits[name] = await model.predict({ images: tensor(`images-${model.config.imageSize}`) })
  }
  await writeCheckpoint(at('logits.safetensors'), { tensors: logits, metadata: {} })
  const { status, stdout, stderr } = python('-B', SCRIPT, 'check', folder)
  assert.is(status, 0, stderr)
  const deviations: Record<string, number> = JSON.parse(stdout)
  assert.equal(Object.keys(deviations), Object.keys(NETWORKS))
  for (const [name, value] of Object.entries(deviations)) atMost(value, 2e-5, name)
})

for (const format of ['timm', 'torchvision'] as const) {
  test(`the Python that is printed gives the same answers (${format})`, async () => {
    await using model = await SwinTransformer.create(SMALL)
    await loadWeights(model, at('timm-small.safetensors'))
    const trainedOn = {
      classes: ['a', 'b "c"', 'd\\e', 'é\n', '猫'],
      ...{ mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3] },
    }
    const options = { format, dataset: 'mine', ...trainedOn }
    const { python: code } = await exportWeights(model, at(`used "${format}".safetensors`), options)
    const png = new PNG({ width: 32, height: 32 })
    png.data.forEach((_, k) => {
      png.data[k] = k % 4 === 3 ? 255 : (k * 37) % 251
    })
    writeFileSync(at('image.png'), PNG.sync.write(png, { colorType: 2 }))
    const use = [
      ...['import torch', 'from PIL import Image'],
      `image = Image.open(${JSON.stringify(at('image.png'))}).convert("RGB")`,
      'with torch.no_grad(): p = model(transform(image).unsqueeze(0)).softmax(1)[0]',
      'print(json.dumps([[classes[int(k)], float(p[k])] for k in p.argsort(descending=True)]))',
    ]
    const { status, stdout, stderr } = python('-c', [code, ...use].join('\n'))
    assert.is(status, 0, stderr)
    const images = [await readImage(at('image.png'))]
    const [prediction] = await predict(model, images, { ...trainedOn, top: 5 })
    const wanted: [string, number][] = JSON.parse(stdout)
    assert.equal(
      prediction?.top.map(({ name }) => name),
      wanted.map(([name]) => name),
    )
    for (const [k, { probability }] of (prediction?.top ?? []).entries()) {
      atMost(Math.abs(probability - (wanted[k]?.[1] ?? 0)), 1e-4, `probability ${k}`)
    }
  })
}

test('a pickle is refused with lines of Python that convert it', async () => {
  await using model = await SwinTransformer.create(SMALL)
  const { hint } = await rejects(() => loadWeights(model, at('pickle.pth')), 'ERR_CHECKPOINT')
  const [, ...lines] = (hint ?? '').split('\n')
  const { status, stderr } = python('-c', lines.join('\n'))
  assert.is(status, 0, stderr)
  await loadWeights(model, at('pickle.safetensors'))
  const { data } = await model.predict({ images: tensor('images-32') })
  atMost(relative(data, [...tensor('torchvision-small')]), 2e-5, 'logits')
})

plain.run()

// `localformer weights`: looks at files and converts them, on a machine without LibTorch.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCheckpoint, writeCheckpoint } from '../../lib/weights/checkpoint.js'
import { GOLDEN, SMALL, writeAs } from '../helpers/weights-golden.js'

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'localformer-cli-weights-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const at = (name: string) => path.join(folder, name)

function weights(...args: readonly string[]) {
  const env: NodeJS.ProcessEnv = { ...process.env, LOCALFORMER_CACHE: folder }
  for (const name of ['LOCALFORMER_LIBTORCH', 'LIBTORCH']) delete env[name]
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'weights', ...args], {
    env,
    encoding: 'utf8',
  })
  return { code: status, stdout, stderr, json: () => JSON.parse(stdout) }
}

test('info says whose names, which sizes, how many values', async () => {
  await writeAs('torchvision', at('swin.safetensors'))
  const { code, stdout, stderr } = weights('info', at('swin.safetensors'))
  assert.is(code, 0, stderr)
  assert.match(stdout, 'a Swin (patch 2, width 16, depths 2-1-2, heads 1-2-4)')
  assert.match(stdout, /^names +torchvision$/m)
  assert.match(stdout, /^parameters +[\d,]+ in 79 tensors$/m)
  assert.match(stdout, /^types +I64: 5, F32: 79; 5 not loaded$/m)
  assert.match(stdout, /^classes +7$/m)
  assert.match(stdout, /^window +4, as of 32 px$/m)
  const { schema, format, network } = weights('info', at('swin.safetensors'), '--json').json()
  assert.equal([schema, format, network.depths], [1, 'torchvision', [2, 1, 2]])
})

test('info of another architecture says what it seems to be', async () => {
  const tensors = { 'layer1.0.conv1.weight': { shape: [1], data: Float32Array.of(1) } }
  await writeCheckpoint(at('resnet.safetensors'), { tensors, metadata: {} })
  const { code, stdout } = weights('info', at('resnet.safetensors'))
  assert.is(code, 0)
  assert.match(stdout, /: a ResNet$/m)
  assert.match(stdout, /^names +of none that can be loaded$/m)
  const { format, network } = weights('info', at('resnet.safetensors'), '--json').json()
  assert.equal([format, network], [null, null])
})

test("convert writes timm's names by default", async () => {
  await writeAs('microsoft', at('in.safetensors'))
  const { code, stdout, stderr } = weights('convert', at('in.safetensors'), at('out.safetensors'))
  assert.is(code, 0, stderr)
  assert.match(stdout, /79 parameters with the names of timm$/m)
  assert.match(stdout, /^32 px, window 4, 7 classes$/m)
  const { tensors } = await readCheckpoint(at('out.safetensors'))
  const names = GOLDEN.networks.timm.parameters.map(({ name }) => name)
  assert.equal(Object.keys(tensors).sort(), [...names].sort())
})

test('convert takes every option', async () => {
  const extra = { shape: [1], data: Float32Array.of(1) }
  await writeAs('timm', at('in.safetensors'))
  const { tensors } = await readCheckpoint(at('in.safetensors'))
  await writeCheckpoint(at('in.safetensors'), { tensors: { ...tensors, extra }, metadata: {} })
  const { code, json, stderr } = weights(
    ...['convert', at('in.safetensors'), at('tv.safetensors'), '--json'],
    ...['--format', 'timm', '--to', 'torchvision', '--no-strict'],
    ...['--image-size', '96', '--window-size', '3'],
  )
  assert.is(code, 0, stderr)
  const { schema, to, unexpected, config, resized } = json()
  assert.equal([schema, to, unexpected], [1, 'torchvision', ['extra']])
  assert.equal([config.imageSize, config.windowSize, config.classes], [96, 3, SMALL.classes])
  assert.is(resized.length, 5)
  const info = weights('info', at('tv.safetensors'), '--json').json()
  assert.equal([info.format, info.network.windowSize], ['torchvision', 3])
})

test('what the network was trained on is kept, shown, and used by the Python that is printed', async () => {
  await writeAs('timm', at('in.safetensors'))
  const { tensors } = await readCheckpoint(at('in.safetensors'))
  const classes = ['cat', 'dog', 'é', 'x', 'y', 'z', '-']
  const metadata = {
    ...{ dataset: 'mine', classes: JSON.stringify(classes) },
    normalisation: '{"mean":[0.1,0.2,0.3],"std":[0.4,0.5,0.6]}',
  }
  mkdirSync(at('run'), { recursive: true })
  await writeCheckpoint(at('run/weights.safetensors'), { tensors, metadata })
  const { code, stdout, stderr } = weights('convert', at('run'), at('out.safetensors'))
  assert.is(code, 0, stderr)
  assert.match(stdout, '\nIn Python:\n')
  assert.match(stdout, `file = ${JSON.stringify(at('out.safetensors'))}`)
  assert.match(stdout, 'json.loads(metadata["normalisation"])')
  assert.match(stdout, 'num_classes=7')
  const info = weights('info', at('out.safetensors'))
  assert.match(info.stdout, /^trained on +mine$/m)
  assert.match(info.stdout, /^normalised +mean 0\.1 0\.2 0\.3, std 0\.4 0\.5 0\.6$/m)
  assert.match(info.stdout, /^class names cat, dog, é, x, y, z, -$/m)
  const json = weights('convert', at('run'), at('out.safetensors'), '--json').json()
  assert.equal(json.trainedOn.classes, classes)
  assert.match(json.python, 'create_transform')
})

test('a name of another format, and values that are no numbers, are refused', async () => {
  await writeAs('timm', at('in.safetensors'))
  const onnx = weights('convert', at('in.safetensors'), at('a.onnx'))
  assert.is(onnx.code, 2)
  assert.match(onnx.stderr, 'Weights are written as safetensors, not as .onnx')
  assert.match(onnx.stderr, 'Name it a.safetensors.')
  assert.not(existsSync(at('a.onnx')))
  const { tensors } = await readCheckpoint(at('in.safetensors'))
  tensors['norm.bias']?.data.set([Number.NaN])
  await writeCheckpoint(at('nan.safetensors'), { tensors, metadata: {} })
  const convert = ['convert', at('nan.safetensors'), at('nan-out.safetensors')]
  const refused = weights(...convert)
  assert.is(refused.code, 1)
  assert.match(refused.stderr, '1 in norm.bias [ERR_NON_FINITE]')
  assert.is(weights(...convert, '--allow-non-finite').code, 0)
})

test('a file is not converted in place', async () => {
  await writeAs('timm', at('in.safetensors'))
  const before = readFileSync(at('in.safetensors'))
  linkSync(at('in.safetensors'), at('linked.safetensors'))
  for (const output of ['in.safetensors', 'linked.safetensors']) {
    const { code, stderr } = weights('convert', at('in.safetensors'), at(output))
    assert.is(code, 2)
    assert.match(stderr, `${at(output)} is the file that is converted`)
  }
  assert.ok(readFileSync(at('in.safetensors')).equals(before))
})

test('what cannot be converted is an error with its code, and no file', async () => {
  writeFileSync(at('not.safetensors'), 'x'.repeat(100))
  const refused = (code: number, name: string, ...args: readonly string[]) => {
    const { code: got, json } = weights('convert', ...args, at('none.safetensors'), '--json')
    assert.is(got, code)
    assert.is(json().error.code, name)
    assert.not(existsSync(at('none.safetensors')))
    return json().error
  }
  refused(1, 'ERR_CHECKPOINT', at('absent.safetensors'))
  refused(1, 'ERR_CHECKPOINT', at('not.safetensors'))
  refused(1, 'ERR_CHECKPOINT', at('resnet.safetensors'))
  await writeAs('timm', at('in.safetensors'))
  refused(2, 'ERR_CONFIG', '--image-size', '33', at('in.safetensors'))
  const { tensors } = await readCheckpoint(at('in.safetensors'))
  const { 'norm.bias': _, ...lacking } = tensors
  await writeCheckpoint(at('lacking.safetensors'), { tensors: lacking, metadata: {} })
  const { message, missing } = refused(1, 'ERR_CHECKPOINT', at('lacking.safetensors'))
  assert.match(message, '1 missing: norm.bias')
  assert.equal(missing, ['norm.bias'])
})

test('without a command, and without a file, what is missing is named', () => {
  assert.match(weights().stderr, 'Expected info or convert after `weights`')
  assert.match(weights('info').stderr, 'Expected <file> after `weights info`')
  assert.match(weights('convert', 'a').stderr, 'Expected <output> after `weights convert`')
})

test.run()

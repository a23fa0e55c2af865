// `localformer doctor --gpu`: on a simulated card, where LibTorch has one, and where nothing works.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { GpuReport } from '../../lib/doctor/gpu/check-gpu.js'
import { ITEMS } from '../../lib/doctor/gpu/items.js'
import { locateLibtorch } from '../../lib/libtorch/locate.js'
import { cardNamed } from '../../lib/simulated/cards.js'
import { doctor } from '../helpers/doctor-command.js'
import { makeSandbox, type Sandbox, torchFiles, writeFiles } from '../helpers/fake-libtorch.js'

const test = suite<{ sandbox: Sandbox }>('localformer doctor --gpu')
const { flavor } = locateLibtorch()

test.before.each((context) => {
  context.sandbox = makeSandbox()
})

test.after.each(({ sandbox }) => sandbox.remove())

const check = flavor === 'cpu' ? test.skip : test
if (flavor === 'cpu') console.log('SKIP: this LibTorch has no CUDA libraries')

/** What a card answers that computes nothing. */
const SIMULATED = ITEMS.filter(({ on }) => on.includes('simulated')).map(({ id }) => id)

check('a simulated card answers what it can, and the rest is left for a GPU', ({ sandbox }) => {
  const file = path.join(sandbox.folder, 'gpu.json')
  const args = ['--gpu', '--quick', '--quiet', '--device', 'sim:rtx3060', '--output', file]
  const { code, stdout, stderr } = doctor({}, ...args)
  assert.is(stderr, '')
  const report = JSON.parse(readFileSync(file, 'utf8')) as GpuReport
  const failed = report.items.filter(({ status }) => status === 'fail')
  assert.equal(failed, [])
  assert.is(code, 0)
  assert.ok(report.ok)
  assert.is(report.device.kind, 'simulated')
  assert.equal(
    report.items.filter(({ status }) => status === 'ok').map(({ id }) => id),
    SIMULATED,
  )
  for (const { status, summary, seconds } of report.items) {
    if (status !== 'left') continue
    assert.match(summary, 'needs a GPU: nothing is computed')
    assert.is(seconds, null)
  }
  const [head = '', , ...lines] = stdout.trimEnd().split('\n')
  assert.match(head, 'a simulated NVIDIA GeForce RTX 3060')
  assert.is(lines.filter((line) => /^(ok|left) {2}/.test(line)).length, ITEMS.length)
  assert.match(lines.at(-1) ?? '', /^8 ok, 0 failed, \d+ left$/)

  // The figures behind the lines.
  const detailsOf = (id: string): unknown => report.items.find((item) => item.id === id)?.details
  const { workspaceBytes, stages } = detailsOf('context') as {
    workspaceBytes: number
    stages: { besideBytes: number }[]
  }
  assert.ok(workspaceBytes > 0)
  assert.is(stages[0]?.besideBytes, cardNamed('rtx3060').contextBytes)
  const { failures } = detailsOf('out-of-memory') as { failures: { where: string }[] }
  const places = failures.map(({ where }) => where)
  for (const where of ['upload', 'forward', 'backward']) assert.ok(places.includes(where), where)
  const { refused } = detailsOf('cublas-memory') as { refused: Record<string, { message: string }> }
  assert.match(
    refused['without a handle']?.message ?? '',
    /^Out of memory on cuda:0 \(.* allocated, .* reserved, limit .*\)/,
  )
})

test('a LibTorch that cannot be opened fails every item, and the command', ({ sandbox }) => {
  writeFiles(sandbox.folder, torchFiles('2.11.0+cpu', null))
  const env = { LOCALFORMER_LIBTORCH: sandbox.folder }
  const { code, stdout } = doctor(env, '--gpu', '--quick', '--json', '--device', 'cpu')
  assert.is(code, 1)
  const { ok, items } = JSON.parse(stdout) as GpuReport
  assert.not(ok)
  for (const { id, status } of items) {
    const isAsked = ITEMS.find((item) => item.id === id)?.on.includes('cpu')
    assert.is(status, isAsked ? 'fail' : 'left', id)
  }
})

test('without a GPU and without what simulates one it says what to install', ({ sandbox }) => {
  writeFiles(sandbox.folder, torchFiles('2.11.0+cpu', null))
  const env = { LOCALFORMER_LIBTORCH: sandbox.folder }
  const { code, stdout } = doctor(env, '--gpu', '--json', '--device', 'sim:rtx3060')
  assert.is(code, 1)
  const { error } = JSON.parse(stdout)
  assert.is(error.code, 'ERR_LIBTORCH_NOT_FOUND')
  assert.match(error.hint, 'libtorch install --flavor simulated')
})

test('bad input is told before anything is run', () => {
  for (const [args, word] of [
    [['--quick'], '--gpu'],
    [['--output', 'x.json'], '--gpu'],
    [['--gpu', '--output', '/no/such/folder/x.json'], 'no folder'],
    [['--gpu', '--device', 'sim:rtx3061'], 'rtx3060'],
  ] as const) {
    const { code, stderr } = doctor({}, ...args)
    assert.is(code, 2, stderr)
    assert.match(stderr, word)
  }
})

test.run()

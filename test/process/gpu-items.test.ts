// The items of `doctor --gpu` in their processes: one that dies or hangs is a row and not the end.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkGpu } from '../../lib/doctor/gpu/check-gpu.js'
import type { Item } from '../../lib/doctor/gpu/items.js'
import { outcomeOf, runItem } from '../../lib/doctor/gpu/run-item.js'
import { fixture } from '../helpers/child.js'
import { ended } from '../helpers/processes.js'

const REQUEST = { device: 'cpu', quick: true } as const

let folder: string

test.before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'localformer-items-'))
})

test.after(() => rmSync(folder, { recursive: true, force: true }))

async function outcome(work: string, limitSeconds = 60, spec?: string) {
  const options = { limitSeconds, script: fixture('item') }
  return outcomeOf(await runItem({ ...REQUEST, work, spec }, options))
}

test('a process that crashes is a failed item with the signal', async () => {
  const { status, summary } = await outcome('die')
  assert.is(status, 'fail')
  assert.match(summary, 'was ended by SIGSEGV')
})

test('one that ends without an answer is told with its code and last words', async () => {
  const { status, summary } = await outcome('leave')
  assert.is(status, 'fail')
  assert.is(summary, 'its process ended with code 3 (what a library says)')
})

test('one that crashes after its answer has failed', async () => {
  const { status, summary } = await outcome('answer and die')
  assert.is(status, 'fail')
  assert.match(summary, 'was ended by SIGABRT, after its answer')
})

test('one that hangs is ended at its limit, with what it has started', async () => {
  const file = path.join(folder, 'pid')
  // Long enough to be started on a busy machine; it never ends by itself.
  const { status, summary } = await outcome('hang', 10, file)
  assert.is(status, 'fail')
  assert.match(summary, 'gave no answer within 10 s and was ended')
  await ended(Number(readFileSync(file, 'utf8')))
})

function item(id: string, work: string, on: Item['on'] = ['cpu']): Item {
  return { id, title: id, on, limitSeconds: 60, run: () => outcome(work) }
}

test('the items after one that fails are run; what cannot be answered is left, with the reason', async () => {
  const fine: Item = {
    ...item('fine', ''),
    run: async () => ({ status: 'ok', summary: 'well', details: null }),
  }
  const items = [item('crash', 'die'), fine, item('gpu', 'die', ['gpu'])]
  const { ok, device, items: rows } = await checkGpu({ device: 'cpu', items })
  assert.not(ok)
  assert.is(device.kind, 'cpu')
  assert.equal(
    rows.map(({ status }) => status),
    ['fail', 'ok', 'left'],
  )
  assert.match(rows[2]?.summary ?? '', 'needs a CUDA device')
  assert.ok((await checkGpu({ device: 'cpu', items: [fine] })).ok)
})

test('when the time of all is over, the rest is left', async () => {
  const { ok, items } = await checkGpu({
    ...{ device: 'cpu', budgetSeconds: 0, items: [item('crash', 'die')] },
  })
  assert.ok(ok)
  assert.is(items[0]?.summary, 'the time for all items is over')
})

test('an abort ends the item and is passed on', async () => {
  const controller = new AbortController()
  const options = { limitSeconds: 60, script: fixture('item'), signal: controller.signal }
  const running = runItem({ ...REQUEST, work: 'loop' }, options)
  controller.abort()
  const error = await running.catch((thrown: Error) => thrown)
  assert.is((error as Error).name, 'AbortError')
})

test.run()

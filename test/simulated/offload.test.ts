// Offload on a CUDA device: what is counted there is what was predicted, on a stream of its own, and
// nothing waits for it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as memory from '../../lib/device/memory.js'
import * as simulation from '../../lib/device/simulation.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import { predictTransfers } from '../../lib/local/offload.js'
import type { LocalOptions } from '../../lib/local/options.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { load } from '../../lib/native/load.js'
import { floatBatch, TINY } from '../helpers/tiny.js'

load({ simulate: 'rtx3060' })

const NETWORK = { ...TINY, depths: [2, 2, 2, 2], device: 'cuda' } as const

/** Calls of the third step, when everything has been taken that stays. */
async function steadyStep(options: LocalOptions) {
  await using model = await SwinTransformer.create(NETWORK)
  await using trainer = await LocalTrainer.create(model, { modules: 4, ...options })
  const batch = floatBatch(8)
  for (let step = 0; step < 2; step++) await trainer.step(batch)
  const residentBytes = memory.allocated('cuda')
  const before = simulation.calls() as simulation.DeviceCalls
  const step = await trainer.step(batch)
  const after = simulation.calls() as simulation.DeviceCalls
  const calls = Object.fromEntries(
    Object.entries(after).map(([name, value]) => [
      name,
      value - before[name as keyof simulation.DeviceCalls],
    ]),
  ) as unknown as simulation.DeviceCalls
  return { calls, step, residentBytes, predicted: predictTransfers(trainer) }
}

for (const offload of ['optimizer', 'modules'] as const) {
  for (const recompute of ['none', 'block'] as const) {
    test(`offload=${offload}, recompute=${recompute}: counted as predicted, and nobody waits`, async () => {
      const plain = await steadyStep({ recompute })
      const own = await steadyStep({ recompute, offload })
      const { predicted } = own
      assert.is(own.calls.bytesToDevice - plain.calls.bytesToDevice, predicted.toDeviceBytes)
      assert.is(own.calls.bytesToHost - plain.calls.bytesToHost, predicted.toHostBytes)
      assert.is(own.step.transfers?.toDeviceBytes, predicted.toDeviceBytes)
      assert.is(own.step.transfers?.toHostBytes, predicted.toHostBytes)
      assert.is(own.calls.synchronisations, plain.calls.synchronisations)
      assert.is(own.calls.pageableCopies, plain.calls.pageableCopies, 'all of it is pinned')
      assert.ok(own.calls.pinnedCopies > plain.calls.pinnedCopies)
      assert.is(own.calls.unorderedUses, 0)
      assert.is(own.calls.mallocs, 0, 'a steady step takes nothing from the card')
      assert.ok(own.residentBytes < plain.residentBytes)
      assert.ok(own.step.peakAllocatedBytes < plain.step.peakAllocatedBytes)
    })
  }
}

test('with offload=modules nothing of the network stays on the card between steps', async () => {
  const { residentBytes, predicted } = await steadyStep({ offload: 'modules' })
  const left = residentBytes - memory.workspaces('cuda')
  assert.ok(left < 0.05 * predicted.hostBytes, `${left} bytes of ${predicted.hostBytes}`)
})

test.run()

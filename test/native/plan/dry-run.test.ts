// Steps in which nothing is computed take what steps take: predicted and measured, in processes of their own.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { resolveInput } from '../../../lib/config/resolve.js'
import { getThreads, setThreads } from '../../../lib/device/threads.js'
import type { DryRunMeasurement } from '../../../lib/plan/dry-run.js'
import { DryRunner } from '../../../lib/plan/dry-runner.js'
import { requestOf } from '../../../lib/plan/request.js'

const NETWORK = { variant: 'micro', imageSize: 32 } as const

const RUNS: [run: string, batchSize: number][] = [
  ['backprop,recompute=none', 16],
  ['backprop', 24],
  ['backprop,recompute=block', 64],
  ['backprop,accumulate=4', 32],
  ['paper:4', 16],
  ['paper:4,recompute=none', 48],
  ['paper:2,recompute=block,accumulate=2', 32],
  ['paper:2,decoder=conv', 16],
  ['paper:4,decoder=transformer', 16],
  ['paper:2,head=later-stages', 16],
  ['paper:4,sample=0.5', 16],
  ['paper:3,split=balanced', 16],
  ['infopro:2', 8],
  ['trgl:4', 16],
  ['paper:4,offload=modules', 16],
]

let dry: DryRunner
let real: DryRunner

test.before(async () => {
  const target = { device: 'cpu', computes: false }
  dry = await DryRunner.start(target)
  real = await DryRunner.start({ ...target, computes: true })
})

test.after(async () => {
  await dry[Symbol.asyncDispose]()
  await real[Symbol.asyncDispose]()
})

function measured(runner: DryRunner, run: string, batchSize: number, limitBytes = 0) {
  const config = resolveInput({ run, model: NETWORK, training: { batchSize } })
  return runner.run({ ...requestOf(config, 10), limitBytes })
}

test('what a run spec leaves open is planned as train does it, and so kept selectively', async () => {
  const [open, selective, none] = (await Promise.all([
    measured(dry, 'backprop', 16),
    measured(dry, 'backprop,recompute=selective', 16),
    measured(dry, 'backprop,recompute=none', 16),
  ])) as DryRunMeasurement[]
  assert.is(open?.peakAllocatedBytes, selective?.peakAllocatedBytes)
  assert.ok((open?.peakAllocatedBytes ?? 0) < (none?.peakAllocatedBytes ?? 0))
})

for (const [run, batchSize] of RUNS) {
  test(`${run}, batch ${batchSize}: the peaks are those of a step that computes`, async () => {
    const [planned, taken] = (await Promise.all([
      measured(dry, run, batchSize),
      measured(real, run, batchSize),
    ])) as [DryRunMeasurement, DryRunMeasurement]
    assert.is(planned.residentBytes, taken.residentBytes)
    assert.equal(planned.cuts, taken.cuts)
    assert.equal(planned.work.operations, taken.work.operations)
    near(planned.peakAllocatedBytes, taken.peakAllocatedBytes, run)
    for (const [k, module] of planned.modules.entries()) {
      near(module.peakAllocatedBytes, taken.modules[k]?.peakAllocatedBytes ?? 0, module.name)
    }
  })
}

/** Of Swin-T at 224 px and a batch of 32, against `backprop`: `localformer reproduce memory` measures them. */
const SAVED = {
  ...{ 'paper:2': 0.373, 'paper:4': 0.511, 'paper:4,decoder=transformer': 0.5 },
  ...{ 'paper:2,split=balanced': 0.414, 'paper:4,split=balanced': 0.626 },
}

test('where nothing is computed again local learning saves no less than it did', async () => {
  const peakOf = async (run: string): Promise<number> => {
    const model = { variant: 'tiny', imageSize: 224 } as const
    // No choices of this machine: they decide copies.
    const spec = `${run},recompute=none,math=mkl`
    const config = resolveInput({ run: spec, model, training: { batchSize: 32 } })
    const planned = await dry.run({ ...requestOf(config, 10), limitBytes: 0 })
    return (planned as DryRunMeasurement).peakAllocatedBytes
  }
  const whole = await peakOf('backprop')
  for (const [run, least] of Object.entries(SAVED)) {
    const saved = 1 - (await peakOf(run)) / whole
    assert.ok(saved >= least, `${run}: ${saved}`)
  }
})

/** Which backend computes a product decides a copy: to half a per cent. */
function near(planned: number, taken: number, what: string): void {
  const error = Math.abs(planned - taken) / taken
  assert.ok(error < 0.005, `${what}: planned ${planned}, took ${taken}`)
}

test('a limit stops both in the same module and phase', async () => {
  const whole = (await measured(dry, 'paper:4', 64)) as DryRunMeasurement
  const limit = Math.floor(whole.peakAllocatedBytes * 0.9)
  const [planned, taken] = await Promise.all([
    measured(dry, 'paper:4', 64, limit),
    measured(real, 'paper:4', 64, limit),
  ])
  if (planned.status === 'ok' || taken.status === 'ok') throw new Error('It fits')
  assert.is(planned.module, taken.module)
  assert.is(planned.phase, taken.phase)
  assert.match(planned.module ?? '', /^module \d$/)
  // With three per cent more than the peak it fits.
  const enough = await measured(real, 'paper:4', 64, Math.ceil(whole.peakAllocatedBytes * 1.03))
  assert.is(enough.status, 'ok')
})

test('a batch of gigabytes is planned', async () => {
  const large = (await measured(dry, 'backprop,recompute=none', 4096)) as DryRunMeasurement
  assert.ok(large.peakAllocatedBytes > 2 ** 30, `${large.peakAllocatedBytes}`)
})

test('what cannot be made is told by its code, and the next question is answered', async () => {
  try {
    await measured(dry, 'paper:99', 8)
    assert.unreachable()
  } catch (error) {
    assert.is((error as { code?: string }).code, 'ERR_CONFIG')
  }
  assert.is((await measured(dry, 'backprop', 8)).status, 'ok')
})

test('steps are tried with the threads of the process that asks', async () => {
  const before = getThreads()
  try {
    setThreads(before + 1)
    await using runner = await DryRunner.start({ device: 'cpu', computes: false })
    assert.is(runner.facts.threads, before + 1)
  } finally {
    setThreads(before)
  }
})

test.run()

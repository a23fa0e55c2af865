// What stands beside a run in its report: the same training, end to end.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { trainerOptionsOf } from '../../../lib/config/create.js'
import { resolveConfig } from '../../../lib/config/resolve.js'
import { parseRunSpec } from '../../../lib/local/run-spec.js'
import { timelineRuns } from '../../../lib/measure/measure-timelines.js'

const measuredOf = (run: string) => timelineRuns(run, resolveConfig({ run }))

test('end to end has what the run has of its own, but for local learning', () => {
  for (const [run, rival] of [
    ['paper:4,split=balanced,recompute=block', 'backprop,recompute=block'],
    ['paper:4,accumulate=4', 'backprop,recompute=selective,accumulate=4'],
    ['greedy:2,recompute=none,dtype=bfloat16', 'backprop,dtype=bfloat16'],
    ['paper:4,precision=tf32,math=mkl', 'backprop,recompute=selective,precision=tf32,math=mkl'],
  ] as const) {
    assert.equal(measuredOf(run).runs, [rival, run])
  }
})

test('both are measured with what the run is trained with', () => {
  const config = resolveConfig({ run: 'paper:4', optimizer: { name: 'sgd', momentum: 0 } })
  const { runs, training } = timelineRuns('paper:4', config)
  assert.equal(runs, ['backprop,recompute=selective', 'paper:4'])
  assert.equal(training, trainerOptionsOf(config))
  assert.is(training.recompute, 'selective')
})

test('both recompute alike, whatever their specs leave out', () => {
  for (const recompute of ['none', 'selective', 'block'] as const) {
    const { runs, training } = measuredOf(`paper:2,recompute=${recompute}`)
    const used = runs.map((run) => ({ ...training, ...parseRunSpec(run).given }).recompute)
    assert.equal(used, [recompute, recompute])
  }
})

test('a run that is end to end is no rival of its own', () => {
  for (const run of ['backprop', 'backprop,recompute=none', 'backprop,accumulate=2']) {
    assert.equal(measuredOf(run).runs, [run])
  }
})

test.run()

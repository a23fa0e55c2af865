// Run with stand_in.cc preloaded: allocations of bfloat16 steps fail in turn.
import { failSteps } from '../allocations/steps.js'
import { Tally } from '../tally.js'

const tally = new Tally()
for (const method of ['backprop', 'paper'] as const) {
  const dtype = 'bfloat16'
  const one =
    method === 'paper'
      ? ({ name: method, method: 'local', options: { method, modules: 2, dtype } } as const)
      : ({ name: method, method, options: { dtype } } as const)
  await failSteps(one, { trainer: 'restored', cache: 'warm' }, { stride: 7, offset: 3 }, tally)
}
console.log(tally.text())
process.exitCode = tally.violations.length === 0 ? 0 : 1

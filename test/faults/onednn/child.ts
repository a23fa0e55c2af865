// Run with stand_in.cc preloaded: allocations of bfloat16 steps fail in turn. Attention is LibTorch's batched
// products here, as on other devices.
import { loadTorch } from '../../../lib/native/load.js'
import { failSteps } from '../allocations/steps.js'
import { Tally } from '../tally.js'

loadTorch().useVectorKernels(false)
const tally = new Tally()
for (const method of ['backprop', 'paper'] as const) {
  const dtype = 'bfloat16'
  const one =
    method === 'paper'
      ? ({ name: method, method: 'local', options: { method, modules: 2, dtype } } as const)
      : ({ name: method, method, options: { dtype } } as const)
  await failSteps(one, { trainer: 'restored', cache: 'warm' }, { stride: 2, offset: 1 }, tally)
}
console.log(tally.text())
process.exitCode = tally.violations.length === 0 ? 0 : 1

// Failed allocations by counter: the part `allocations` of the harness.
import { loadTorch } from '../../../lib/native/load.js'
import { Tally } from '../tally.js'
import { failCalls } from './calls.js'
import { CASES } from './cases.js'
import { EVERY } from './failing.js'
import { failSteps, PATHS, type Path } from './steps.js'

/** A short round takes every allocation of some cases and some allocations of every case. */
export async function failAllocations(length: 'short' | 'long', say: (line: string) => void) {
  const tally = new Tally()
  for (const threads of length === 'long' ? [1, 2] : [1]) {
    loadTorch().setThreads(threads)
    await failCalls(length === 'long' ? EVERY : { stride: 17, offset: 5 }, tally)
    for (const [i, one] of CASES.entries()) {
      const isWhole = length === 'long' || WHOLE.has(one.name)
      const which = isWhole ? EVERY : { stride: SHORT_STRIDE, offset: 17 * i }
      const paths = length === 'long' ? PATHS : [PATHS[i % PATHS.length] as Path]
      for (const path of paths) await failSteps(one, path, which, tally)
      if (length === 'long')
        say(`${threads} thread(s), ${one.name}: ${tally.violations.length} violations`)
    }
  }
  return tally
}

const SHORT_STRIDE = 59
const WHOLE = new Set(['paper, float32'])

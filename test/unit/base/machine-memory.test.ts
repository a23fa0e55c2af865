// Memory that is left to this process, and what of a control group's it could have too.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readMemory, reclaimableOf } from '../../../lib/base/machine-memory.js'

test('some of the memory is available', () => {
  const { totalBytes, availableBytes, freeSwapBytes } = readMemory()
  assert.ok(
    availableBytes > 0 && availableBytes <= totalBytes,
    `${availableBytes} of ${totalBytes}`,
  )
  assert.ok(freeSwapBytes >= 0)
})

test('pages of files and caches of the kernel are given up when memory is asked for', () => {
  const stat = [
    ...['anon 1000', 'file 500', 'inactive_anon 7', 'slab_unreclaimable 9'],
    ...['inactive_file 10', 'active_file 20', 'slab_reclaimable 3', 'workingset_refault_file 4'],
  ].join('\n')
  assert.is(reclaimableOf(stat), 33)
  assert.is(reclaimableOf(''), 0)
})

test.run()

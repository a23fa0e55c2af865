// Sizes as text.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatBytes } from '../../../lib/base/format.js'

test('three digits in units of 1024', () => {
  const texts: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [10 * 1024, '10.0 KiB'],
    [1024 ** 2 - 1, '1.00 MiB'],
    [530_712_279, '506 MiB'],
    [2 ** 60, '1048576 TiB'],
  ]
  for (const [bytes, text] of texts) assert.is(formatBytes(bytes), text)
})

test.run()

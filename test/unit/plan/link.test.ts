import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bandwidthOf } from '../../../lib/plan/link.js'

for (const [written, bytes] of [
  ['10Gbit/s', 1.25e9],
  ['10 Gbps', 1.25e9],
  ['1GB/s', 1e9],
  ['1.5 MB/s', 1.5e6],
  ['nvlink', 450e9],
  [1e6, 1e6],
] as const) {
  test(`${written} are ${bytes} bytes a second`, () => assert.is(bandwidthOf(written), bytes))
}

for (const written of ['', '10', 'fast', '10Gbit', '0Gbit/s', '-1GB/s', 0, Number.NaN, null, {}]) {
  test(`${JSON.stringify(written)} is refused with an example`, () => {
    assert.throws(
      () => bandwidthOf(written),
      /a rate such as 10Gbit\/s, 1GB\/s or nvlink for `link`/,
    )
  })
}

test.run()

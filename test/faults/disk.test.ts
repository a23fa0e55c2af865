// A short round of runs that are killed, and of disks that fail, while files change; `npm run test:faults --
// kills full-disks` is a longer one.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SHORT } from './chance.js'
import { failDisks, failKills } from './disk/index.js'

const LEFT_OUT = 'chains that were left out: there is no C++ compiler'

for (const [name, fail, blow] of [
  ['killed', failKills, 'kills'],
  ['on a disk that is full', failDisks, 'full disks'],
] as const) {
  test(`a run that is ${name} goes on, and ends as if nothing had been`, async () => {
    const tally = await fail('short', () => undefined, SHORT)
    console.log(tally.text())
    assert.is(tally.violations.length, 0, tally.text())
    if (tally.of(LEFT_OUT) > 0) return
    assert.ok(tally.of('chains') > 1)
    assert.ok(tally.of(blow) > 0)
  })
}

test.run()

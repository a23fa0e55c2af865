// `ulimit -v`: where addresses run out, loading and training fail with a code, and nothing ends the
// process.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ERROR_CODES, type ErrorCode } from '../../lib/base/errors.js'
import { type Ended, fixture, runProgram } from '../helpers/child.js'

/** Node itself needs about this much to begin; the rest is told by the fixture. */
const LEAST_MIB = 900

const under = (mebibytes: number): Promise<Ended> =>
  runProgram('bash', [
    '-c',
    `ulimit -v ${mebibytes * 1024} && exec "$0" "$1"`,
    process.execPath,
    fixture('load-and-step'),
  ])

// Every step of loading meets its limit: LibTorch's own files, what they allocate when they are
// opened, the allocator's addresses, the threads, a network.
for (let mebibytes = LEAST_MIB; mebibytes <= 2200; mebibytes += 100) {
  test(`${mebibytes} MiB of addresses`, async () => {
    const { code, signal, stdout, stderr } = await under(mebibytes)
    const told = `exit ${code}, ${signal}: ${stderr}${stdout}`
    assert.is(signal, null, told)
    assert.is(code, 0, told)
    const { error, loaded } = JSON.parse(stdout) as { error?: ErrorCode; loaded: boolean }
    if (error !== undefined) assert.ok(ERROR_CODES.includes(error), told)
    assert.ok(loaded || error !== undefined, told)
  })
}

test.run()

// Gradients beside finite differences, in float64: test/native/finite_differences says of what.
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { locateLibtorch } from '../../../lib/libtorch/locate.js'
import { ROOT } from '../../../scripts/lib/script.js'
import { runProgram } from '../../helpers/child.js'

test('gradients are those that finite differences give', async () => {
  const program = path.join(ROOT, 'build/checks/localformer_finite_differences')
  const { code, signal, stdout, stderr } = await runProgram(program, [], {
    LD_LIBRARY_PATH: path.join(locateLibtorch().root, 'lib'),
  })
  assert.equal(
    { code, signal, stdout, stderr },
    { code: 0, signal: null, stdout: 'ok\n', stderr: '' },
  )
})

test.run()

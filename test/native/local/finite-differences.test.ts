// The gradients of the network's own functions of autograd beside finite differences, in float64.
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { locateLibtorch } from '../../lib/libtorch/locate.js'
import { ROOT } from '../../scripts/lib/script.js'
import { runProgram } from '../helpers/child.js'

test('every gradient of the network is the one that finite differences give', async () => {
  const program = path.join(ROOT, 'build/checks/localformer_gradient_check')
  const { code, signal, stdout, stderr } = await runProgram(program, [], {
    LD_LIBRARY_PATH: path.join(locateLibtorch().root, 'lib'),
  })
  assert.equal(
    { code, signal, stdout, stderr },
    { code: 0, signal: null, stdout: 'ok\n', stderr: '' },
  )
})

test.run()

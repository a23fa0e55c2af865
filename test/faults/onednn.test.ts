// What LibTorch does when an allocation inside oneDNN fails, on every machine: see stand_in.cc.
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { locateLibtorch } from '../../lib/libtorch/locate.js'
import { DIST, run } from '../helpers/child.js'
import { compileLibrary } from '../helpers/compile.js'

const { root, libraries } = locateLibtorch()
const library = compileLibrary('test/faults/onednn/stand_in.cc', [`-I${root}/include`])
if (library === undefined) console.log('SKIP: there is no C++ compiler')

const compiled = library === undefined ? test.skip : test

compiled(
  'an allocation that LibTorch misses in silence fails the step, and nothing after it',
  async () => {
    const { code, stdout, stderr } = await run([path.join(DIST, 'test/faults/onednn/child.js')], {
      LD_PRELOAD: [library, libraries.c10, libraries.torchCpu].join(' '),
    })
    assert.is(code, 0, stdout + stderr)
    const caught = Number(/stand-in: caught (\d+)/.exec(stderr)?.[1] ?? 0)
    assert.ok(caught > 10, `caught ${caught}: ${stderr}`)
    assert.not.match(stderr, 'mkldnn_matmul failed', 'an error tells of it, no warning')
  },
)

test.run()

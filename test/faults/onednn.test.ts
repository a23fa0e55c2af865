// What LibTorch does when an allocation inside oneDNN fails, on every machine: see stand_in.cc.
import { spawnSync } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { locateLibtorch } from '../../lib/libtorch/locate.js'
import { DIST, run } from '../helpers/child.js'

const ROOT = path.resolve(DIST, '..')
const SOURCE = path.join(ROOT, 'test/faults/onednn/stand_in.cc')
const LIBRARY = path.join(ROOT, 'build/faults/onednn_stand_in.so')

/** Compiles the stand-in where that was not done yet; the reason where that cannot be done. */
function reasonToSkip(libtorch: string): string | undefined {
  const time = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (time(LIBRARY) > time(SOURCE)) return undefined
  const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find(
    (name) => name && spawnSync(name, ['--version']).status === 0,
  )
  if (compiler === undefined) return 'there is no C++ compiler'
  mkdirSync(path.dirname(LIBRARY), { recursive: true })
  const options = ['-std=c++17', '-O1', '-fPIC', '-shared', `-I${libtorch}/include`]
  const { status, stderr } = spawnSync(compiler, [...options, SOURCE, '-o', LIBRARY])
  assert.is(status, 0, String(stderr))
  return undefined
}

const { root, libraries } = locateLibtorch()
const skip = reasonToSkip(root)
if (skip !== undefined) console.log(`SKIP: ${skip}`)

const compiled = skip === undefined ? test : test.skip

compiled(
  'an allocation that LibTorch misses in silence fails the step, and nothing after it',
  async () => {
    const { code, stdout, stderr } = await run([path.join(DIST, 'test/faults/onednn/child.js')], {
      LD_PRELOAD: [LIBRARY, libraries.c10, libraries.torchCpu].join(' '),
    })
    assert.is(code, 0, stdout + stderr)
    const caught = Number(/stand-in: caught (\d+)/.exec(stderr)?.[1] ?? 0)
    assert.ok(caught > 10, `caught ${caught}: ${stderr}`)
    assert.not.match(stderr, 'mkldnn_matmul failed', 'an error tells of it, no warning')
  },
)

test.run()

// Which LibTorch a checkout builds against, and what is installed for it.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { installLibtorch } from '../../../lib/libtorch/install.js'
import type { Flavor } from '../../../lib/libtorch/manifest.js'
import { ensureLibtorch } from '../../../scripts/lib/libtorch.js'
import { rejects } from '../../helpers/expect.js'
import {
  type FakeWheels,
  makePip,
  makeSandbox,
  makeWheels,
  type Sandbox,
  shellPath,
  torchFiles,
  withEnvironment,
  writeFiles,
} from '../../helpers/fake-libtorch.js'

let sandbox: Sandbox
let wheels: FakeWheels
let notes: string[]

test.before.each(() => {
  sandbox = makeSandbox()
  wheels = makeWheels(path.join(sandbox.folder, 'wheels'))
  notes = []
})

test.after.each(() => sandbox.remove())

/** With a cache of its own and a pip that serves the fake wheels, or fails with a message. */
function ensure(variables: NodeJS.ProcessEnv = {}, failing?: string) {
  const bin = makePip(path.join(sandbox.folder, 'bin'), wheels.folder, failing)
  const environment = {
    PATH: `${bin}:${shellPath(path.join(sandbox.folder, 'shell'))}`,
    LOCALFORMER_CACHE: sandbox.cache,
    LOCALFORMER_LIBTORCH: undefined,
    LIBTORCH: undefined,
    LD_LIBRARY_PATH: undefined,
    LOCALFORMER_OFFLINE: undefined,
    ...variables,
  }
  const progress = { update() {}, finish() {} }
  return withEnvironment(environment, () =>
    ensureLibtorch({ progress, say: (note) => notes.push(note), manifest: wheels.manifest }),
  )
}

function install(flavor: Flavor) {
  const { cache } = sandbox
  return installLibtorch({ flavor, cache, from: wheels.torch, manifest: wheels.manifest })
}

function calls(): string {
  const file = path.join(sandbox.folder, 'bin/calls')
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

test('nothing is there: the simulated flavor is installed', async () => {
  const { flavor, cudaInclude } = await ensure()
  assert.is(flavor, 'simulated')
  assert.ok(cudaInclude)
  assert.equal(sandbox.cached(), ['2.11.0-simulated'])
})

test('one for the CPU in the cache is not enough, a better one is', async () => {
  await install('cpu')
  assert.is((await ensure()).flavor, 'simulated')
  assert.equal(sandbox.cached(), ['2.11.0-cpu', '2.11.0-simulated'])
  const before = calls()
  assert.is((await ensure()).flavor, 'simulated')
  assert.is(calls(), before)
})

test('offline, or where it cannot be fetched, one for the CPU will do', async () => {
  await install('cpu')
  assert.is((await ensure({ LOCALFORMER_OFFLINE: '1' })).flavor, 'cpu')
  assert.is(calls(), '')
  assert.is((await ensure({}, 'no such host')).flavor, 'cpu')
  assert.match(notes.join('\n'), /Going on with the LibTorch for the CPU in .*no such host/s)
})

test('a variable decides, for the CPU alone too', async () => {
  await install('simulated')
  writeFiles(sandbox.folder, torchFiles('2.11.0+cpu', null))
  const root = path.join(sandbox.folder, 'torch')
  for (const name of ['LOCALFORMER_LIBTORCH', 'LIBTORCH']) {
    assert.is((await ensure({ [name]: root })).root, root)
  }
  await rejects(() => ensure({ LIBTORCH: '/nowhere' }), 'ERR_LIBTORCH_NOT_FOUND', '/nowhere')
  assert.is(calls(), '')
})

test.run()

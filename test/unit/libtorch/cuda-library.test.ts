// Which LibTorch serves a simulated device or a build of the addon's CUDA part, and what mends one
// that does not.
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CUDA_LIBRARY,
  cudaBuildLack,
  cudaLibraryLack,
  requireCudaLibrary,
  requireSimulated,
} from '../../../lib/libtorch/cuda-library.js'
import { installLibtorch } from '../../../lib/libtorch/install.js'
import { locateLibtorch } from '../../../lib/libtorch/locate.js'
import type { Flavor } from '../../../lib/libtorch/manifest.js'
import { rejects } from '../../helpers/expect.js'
import {
  type FakeWheels,
  makeSandbox,
  makeWheels,
  NVIDIA_FILES,
  type Sandbox,
  torchFiles,
  withEnvironment,
  writeFiles,
} from '../../helpers/fake-libtorch.js'

const OFFLINE = {
  LOCALFORMER_LIBTORCH: undefined,
  LIBTORCH: undefined,
  LD_LIBRARY_PATH: undefined,
  LOCALFORMER_OFFLINE: '1',
}
const INSTALL = 'npx localformer libtorch install'

let sandbox: Sandbox
let wheels: FakeWheels

test.before.each(() => {
  sandbox = makeSandbox()
  wheels = makeWheels(path.join(sandbox.folder, 'wheels'))
})

test.after.each(() => sandbox.remove())

function install(from: string, flavor: Flavor, force = false) {
  const { cache } = sandbox
  return installLibtorch({ from, flavor, force, cache, manifest: wheels.manifest })
}

function located(flavor: Flavor) {
  return locateLibtorch({ cache: sandbox.cache, flavor })
}

/** A torch with all libraries and no CUDA headers, as an official archive unpacks. */
function bareFolder(name = 'site-packages'): string {
  const site = path.join(sandbox.folder, name)
  writeFiles(site, { ...torchFiles(), ...NVIDIA_FILES })
  return path.join(site, 'torch')
}

test('a simulated device is served by simulated and cuda, and cpu says what to install', async () => {
  await withEnvironment(OFFLINE, async () => {
    for (const flavor of ['simulated', 'cuda'] as const) {
      await install(wheels.torch, flavor)
      requireSimulated(located(flavor))
    }
    const { root } = await install(wheels.torch, 'cpu')
    const expected = `in ${root} has no lib/libtorch_cuda.so and no lib/libc10_cuda.so`
    const error = await rejects(
      async () => requireSimulated(located('cpu')),
      'ERR_LIBTORCH_NOT_FOUND',
      expected,
    )
    assert.match(error.hint ?? '', `\`${INSTALL} --flavor simulated\``)
  })
})

test('a variable that decides has to be unset first', async () => {
  const root = path.join(sandbox.folder, 'cpu', 'torch')
  writeFiles(path.dirname(root), torchFiles('2.11.0+cpu', null))
  await withEnvironment({ ...OFFLINE, LIBTORCH: root }, () => {
    const fix = `unset LIBTORCH && ${INSTALL} --flavor simulated`
    assert.is(cudaBuildLack(locateLibtorch())?.fix, fix)
  })
  const bare = bareFolder("it's here")
  await withEnvironment({ ...OFFLINE, LOCALFORMER_LIBTORCH: bare }, () => {
    const from = `'${bare.replace("'", "'\\''")}'`
    const fix = `unset LOCALFORMER_LIBTORCH && ${INSTALL} --flavor cuda --from ${from}`
    assert.is(cudaBuildLack(locateLibtorch())?.fix, fix)
  })
})

test('an install without CUDA headers is found out, and what it is told mends it', async () => {
  const from = bareFolder()
  await withEnvironment(OFFLINE, async () => {
    await install(from, 'cuda')
    const lack = cudaBuildLack(located('cuda'))
    assert.match(lack?.reason ?? '', "came without CUDA's headers")
    assert.is(lack?.fix, `${INSTALL} --flavor cuda --from ${from} --force`)
    // On a machine with a network, pip brings them.
    writeFiles(path.dirname(from), { 'nvidia/cu13/include/cuda_runtime_api.h': '' })
    await install(from, 'cuda', true)
    assert.ok(cudaBuildLack(located('cuda')), 'one header of two')
    writeFiles(path.dirname(from), { 'nvidia/cu13/include/crt/host_defines.h': '' })
    await install(from, 'cuda', true)
    assert.is(cudaBuildLack(located('cuda')), undefined)
  })
})

test('where its source is gone, the pinned wheels mend it', async () => {
  const from = bareFolder()
  await withEnvironment(OFFLINE, async () => {
    await install(from, 'cuda')
    rmSync(path.dirname(from), { recursive: true })
    assert.is(cudaBuildLack(located('cuda'))?.fix, `${INSTALL} --flavor cuda --force`)
  })
})

test('the library itself: there, not built yet, or not to be built', async () => {
  const addon = path.join(sandbox.folder, 'addon')
  writeFiles(addon, { 'localformer.node': '' })
  await withEnvironment(OFFLINE, async () => {
    await install(wheels.torch, 'simulated')
    const location = located('simulated')
    const lack = cudaLibraryLack(location, addon)
    assert.equal(lack, {
      reason: `${CUDA_LIBRARY} is not in ${addon}`,
      fix: 'npm run native',
    })
    const error = await rejects(
      async () => requireCudaLibrary(location, addon),
      'ERR_ADDON_LOAD',
      CUDA_LIBRARY,
    )
    assert.match(error.hint ?? '', '`npm run native`')
    await install(wheels.torch, 'cpu')
    const fix = `${INSTALL} --flavor cuda && npm run native`
    assert.is(cudaLibraryLack(located('cpu'), addon, 'cuda')?.fix, fix)
    writeFileSync(path.join(addon, CUDA_LIBRARY), '')
    assert.is(cudaLibraryLack(location, addon), undefined)
    requireCudaLibrary(location, addon)
  })
})

test.run()

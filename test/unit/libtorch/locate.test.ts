// Where LibTorch is looked for, in which order, and what is said when it is not there.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import {
  isPinnedVersion,
  type LibtorchSource,
  libtorchCandidates,
  locateLibtorch,
  parseVersionPy,
} from '../../../lib/libtorch/locate.js'
import type { Flavor } from '../../../lib/libtorch/manifest.js'
import {
  archiveFiles,
  elf,
  makeSandbox,
  NVIDIA_FILES,
  type Sandbox,
  torchFiles,
  versionPy,
  withEnvironment,
  writeFiles,
} from '../../helpers/fake-libtorch.js'

const UNSET = {
  LOCALFORMER_LIBTORCH: undefined,
  LIBTORCH: undefined,
  LD_LIBRARY_PATH: undefined,
}

let sandbox: Sandbox

test.before.each(() => {
  sandbox = makeSandbox()
})

test.after.each(() => sandbox.remove())

/** A pip-like LibTorch of the given version; returns its root. */
function makeFolder(name: string, version = '2.11.0+cpu'): string {
  writeFiles(path.join(sandbox.folder, name), torchFiles(version, null))
  return path.join(sandbox.folder, name, 'torch')
}

function install(flavor: Flavor): string {
  const folder = path.join(sandbox.cache, 'libtorch', `2.11.0-${flavor}`)
  writeFiles(folder, torchFiles('2.11.0+cu130', flavor === 'cpu' ? null : '13.0'))
  if (flavor === 'cuda') writeFiles(folder, NVIDIA_FILES)
  writeFileSync(path.join(folder, 'install.json'), '{}')
  return path.join(folder, 'torch')
}

function fails(work: () => unknown, code: string, ...parts: readonly (string | RegExp)[]) {
  try {
    work()
  } catch (error) {
    assert.instance(error, LocalformerError)
    const { code: found, message, hint } = error as LocalformerError
    assert.is(found, code)
    for (const part of parts) assert.match(`${message}\n${hint}`, part)
    return
  }
  assert.unreachable(`expected ${code}`)
}

test('option, LOCALFORMER_LIBTORCH, LIBTORCH, cache: the first that is set decides', async () => {
  const places: [LibtorchSource, string][] = [
    ['option', makeFolder('option')],
    ['LOCALFORMER_LIBTORCH', makeFolder('own')],
    ['LIBTORCH', makeFolder('shared')],
    ['cache', install('cpu')],
  ]
  const look = (set: readonly LibtorchSource[]) => {
    const at = (source: LibtorchSource) =>
      set.includes(source) ? places.find(([name]) => name === source)?.[1] : undefined
    const variables = { LOCALFORMER_LIBTORCH: at('LOCALFORMER_LIBTORCH'), LIBTORCH: at('LIBTORCH') }
    return withEnvironment(variables, () =>
      locateLibtorch({ path: at('option'), cache: sandbox.cache }),
    )
  }
  for (const [index, [source, root]] of places.entries()) {
    const found = await look(places.slice(index).map(([name]) => name))
    assert.is(found.source, source)
    assert.is(found.root, root)
  }
})

test('the location names the root, the libraries and the headers', async () => {
  const root = makeFolder('here')
  const found = await withEnvironment(UNSET, () => locateLibtorch({ path: root }))
  assert.equal(found, {
    root,
    version: '2.11.0+cpu',
    flavor: 'cpu',
    source: 'option',
    libraries: {
      c10: path.join(root, 'lib/libc10.so'),
      torchCpu: path.join(root, 'lib/libtorch_cpu.so'),
    },
    include: path.join(root, 'include'),
  })
})

test('a folder that holds torch/ or libtorch/ will do, and an official archive', () => {
  const root = makeFolder('site-packages')
  assert.is(locateLibtorch({ path: path.dirname(root) }).root, root)
  writeFiles(path.join(sandbox.folder, 'official'), archiveFiles())
  const official = locateLibtorch({ path: path.join(sandbox.folder, 'official') })
  assert.is(official.version, '2.11.0+cpu')
  assert.is(official.root, path.join(sandbox.folder, 'official', 'libtorch'))
})

test('a place that is set but does not fit is an error, not passed over', async () => {
  install('cpu')
  const cache = sandbox.cache
  const old = makeFolder('old', '2.5.1')
  for (const variable of ['LOCALFORMER_LIBTORCH', 'LIBTORCH']) {
    await withEnvironment({ ...UNSET, [variable]: old }, () =>
      fails(
        () => locateLibtorch({ cache }),
        'ERR_LIBTORCH_VERSION',
        new RegExp(`at ${variable}`),
        /2\.5\.1, not 2\.11\.0/,
        /Ways out/,
      ),
    )
    await withEnvironment({ ...UNSET, [variable]: '/nowhere' }, () =>
      fails(() => locateLibtorch({ cache }), 'ERR_LIBTORCH_NOT_FOUND', /\/nowhere/),
    )
  }
})

test('a folder without a version, or without a library, is named', async () => {
  const root = path.join(sandbox.folder, 'bare')
  mkdirSync(path.join(root, 'lib'), { recursive: true })
  await withEnvironment(UNSET, () => {
    const look = () => locateLibtorch({ path: root })
    fails(look, 'ERR_LIBTORCH_NOT_FOUND', /has no lib\/libtorch_cpu\.so/)
    writeFileSync(path.join(root, 'lib/libtorch_cpu.so'), '')
    fails(look, 'ERR_LIBTORCH_NOT_FOUND', /has no lib\/libc10\.so/)
    writeFileSync(path.join(root, 'lib/libc10.so'), '')
    fails(look, 'ERR_LIBTORCH_VERSION', /neither build-version nor version\.py/)
  })
})

test('nothing anywhere: the message lists what was looked at, the hint the ways out', async () => {
  await withEnvironment(UNSET, () =>
    fails(
      () => locateLibtorch({ cache: sandbox.cache }),
      'ERR_LIBTORCH_NOT_FOUND',
      /LOCALFORMER_LIBTORCH: not set/,
      /LIBTORCH: not set/,
      new RegExp(`the cache: ${sandbox.cache}`),
      /localformer libtorch install/,
      /LOCALFORMER_LIBTORCH=FOLDER/,
    ),
  )
})

test('an installation without its receipt is not complete', async () => {
  writeFiles(path.join(sandbox.cache, 'libtorch/2.11.0-cpu'), torchFiles())
  await withEnvironment(UNSET, () => {
    const { cache } = sandbox
    fails(() => locateLibtorch({ cache }), 'ERR_LIBTORCH_NOT_FOUND', /not complete/)
    const statuses = libtorchCandidates({ cache }).map(({ status }) => status)
    assert.equal(statuses, ['unset', 'unset', 'unset', 'incomplete'])
  })
})

test('of the cache, cuda comes before simulated before cpu, unless one is asked for', async () => {
  await withEnvironment(UNSET, () => {
    const { cache } = sandbox
    const roots = new Map<Flavor, string>()
    for (const flavor of ['cpu', 'simulated', 'cuda'] as const) {
      const root = install(flavor)
      roots.set(flavor, root)
      const found = locateLibtorch({ cache })
      assert.is(found.flavor, flavor)
      assert.is(found.root, root)
    }
    for (const [flavor, root] of roots) assert.is(locateLibtorch({ cache, flavor }).root, root)
  })
})

test('cuda is what finds the libraries of NVIDIA that it needs, beside it or elsewhere', async () => {
  const site = path.join(sandbox.folder, 'site-packages')
  writeFiles(site, torchFiles())
  const root = path.join(site, 'torch')
  const flavor = () => locateLibtorch({ path: root }).flavor
  const [cudart, cublas] = Object.keys(NVIDIA_FILES).map((name) => path.basename(name))
  const both = (folder: string) => ({
    [`${folder}/${cudart}`]: elf(),
    [`${folder}/${cublas}`]: elf(),
  })
  await withEnvironment(UNSET, async () => {
    assert.is(flavor(), 'simulated')
    const { torchCuda, c10Cuda } = locateLibtorch({ path: root }).libraries
    assert.is(torchCuda, path.join(root, 'lib/libtorch_cuda.so'))
    assert.is(c10Cuda, path.join(root, 'lib/libc10_cuda.so'))
    // Older wheels have a folder for each of their libraries.
    writeFiles(site, { [`nvidia/cuda_runtime/lib/${cudart}`]: elf() })
    assert.is(flavor(), 'simulated', 'one of two')
    writeFiles(site, { [`nvidia/cublas/lib/${cublas}`]: elf() })
    assert.is(flavor(), 'cuda')
    rmSync(path.join(site, 'nvidia'), { recursive: true })
    writeFiles(root, both('lib'))
    assert.is(flavor(), 'cuda', 'as in an official archive')
    for (const name of [cudart, cublas]) rmSync(path.join(root, 'lib', `${name}`))
    writeFiles(sandbox.folder, both('toolkit'))
    assert.is(flavor(), 'simulated')
    const LD_LIBRARY_PATH = `/nowhere:${path.join(sandbox.folder, 'toolkit')}`
    await withEnvironment({ LD_LIBRARY_PATH }, () => assert.is(flavor(), 'cuda'))
    writeFiles(root, {
      'lib/libtorch_cuda.so': elf({
        needed: [`${cudart}`, `${cublas}`, 'libcuda.so.1', 'libc.so.6'],
        searchPath: ['/nowhere', '$ORIGIN/../../../toolkit'],
      }),
    })
    assert.is(flavor(), 'cuda', 'where the library itself says')
  })
})

test('without libc10_cuda.so there is no CUDA to be served', async () => {
  const site = path.join(sandbox.folder, 'site-packages')
  writeFiles(site, { ...torchFiles(), ...NVIDIA_FILES })
  rmSync(path.join(site, 'torch/lib/libc10_cuda.so'))
  await withEnvironment(UNSET, () => {
    const found = locateLibtorch({ path: site })
    assert.is(found.flavor, 'cpu')
    assert.is(found.libraries.torchCuda, undefined)
  })
})

test("the active Python's torch is taken on request only, and after the rest", async () => {
  const root = makeFolder('python')
  const bin = path.join(sandbox.folder, 'bin')
  mkdirSync(bin)
  writeFileSync(path.join(bin, 'python3'), `#!/bin/sh\necho "${root}"\n`, { mode: 0o755 })
  await withEnvironment({ ...UNSET, PATH: bin }, () => {
    const { cache } = sandbox
    fails(() => locateLibtorch({ cache }), 'ERR_LIBTORCH_NOT_FOUND')
    assert.is(locateLibtorch({ cache, python: true }).source, 'python')
    install('cpu')
    assert.is(locateLibtorch({ cache, python: true }).source, 'cache')
  })
})

test('no Python, or one that fails, is a reason and no crash', async () => {
  const { cache } = sandbox
  await withEnvironment({ ...UNSET, PATH: sandbox.folder }, () =>
    fails(() => locateLibtorch({ cache, python: true }), 'ERR_LIBTORCH_NOT_FOUND', /python3/),
  )
})

test('options of a wrong type are named', () => {
  fails(() => locateLibtorch({ path: '' }), 'ERR_CONFIG', /`path`/)
  fails(
    () => locateLibtorch({ flavor: 'rocm' as 'cpu' }),
    'ERR_CONFIG',
    /cpu or simulated or cuda/,
    /"rocm"/,
  )
  fails(() => locateLibtorch({ python: 1 as unknown as boolean }), 'ERR_CONFIG', /`python`/)
})

test('a local suffix is the same version, a pre-release is not', () => {
  for (const version of ['2.11.0', '2.11.0+cpu', '2.11.0+cu130']) {
    assert.ok(isPinnedVersion(version), version)
  }
  for (const version of ['2.11.1', '2.11.0a0', '2.11.0rc1+cpu', '12.11.0', '']) {
    assert.not(isPinnedVersion(version), version)
  }
})

test('version.py gives the version and the CUDA version', () => {
  assert.equal(parseVersionPy(versionPy('2.11.0+cu130', '13.0')), {
    version: '2.11.0+cu130',
    cuda: '13.0',
  })
  assert.equal(parseVersionPy(versionPy('2.11.0+cpu', null)), { version: '2.11.0+cpu', cuda: null })
  assert.equal(parseVersionPy('nothing'), { version: undefined, cuda: null })
})

test.run()

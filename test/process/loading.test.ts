// What is loaded when, and what is said when it cannot be.
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findAddon } from '../../lib/native/load.js'
import { DIST, fixture, run } from '../helpers/child.js'
import { torchFiles, writeFiles } from '../helpers/fake-libtorch.js'

interface Loaded {
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string }
  readonly libraries: readonly string[]
}

let folder: string

test.before.each(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'localformer-test-'))
})

test.after.each(() => rmSync(folder, { recursive: true, force: true }))

async function load(
  environment: Readonly<Record<string, string | undefined>> = {},
  lib = path.join(DIST, 'lib'),
): Promise<Loaded> {
  const { code, signal, stdout, stderr } = await run([fixture('load'), lib], environment)
  assert.is(signal, null, stderr)
  assert.is(code, 0, stderr)
  return JSON.parse(stdout) as Loaded
}

/** The error of {@link load}, which must have this code. */
function failed({ error }: Loaded, code: string) {
  assert.is(error?.code, code, error?.message ?? 'it was loaded')
  return error as NonNullable<Loaded['error']>
}

/** The package as it is installed, its addon of its own; returns its `lib` and the addon's folder. */
function copyPackage() {
  const root = path.join(folder, 'package')
  mkdirSync(path.join(root, 'build/Release'), { recursive: true })
  cpSync(path.join(DIST, 'lib'), path.join(root, 'dist/lib'), { recursive: true })
  copyFileSync(path.join(DIST, '../package.json'), path.join(root, 'package.json'))
  symlinkSync(path.join(DIST, '../node_modules'), path.join(root, 'node_modules'))
  const addon = path.join(root, 'build/Release')
  for (const name of ['localformer.node', 'liblocalformer_torch.so']) {
    copyFileSync(path.join(findAddon(), name), path.join(addon, name))
  }
  return { lib: path.join(root, 'dist/lib'), addon }
}

test('the types of the package need no optional one', () => {
  const files = readdirSync(path.join(DIST, 'lib'), { recursive: true }) as string[]
  const types = files.filter((name) => name.endsWith('.d.ts'))
  assert.ok(types.length > 50, `${types.length} files`)
  const naming = types.filter((name) =>
    readFileSync(path.join(DIST, 'lib', name), 'utf8').includes("'sharp'"),
  )
  assert.equal(naming, [])
})

test('importing the package loads neither the addon nor LibTorch', async () => {
  const { code, signal, stdout, stderr } = await run([fixture('imports')])
  assert.is(signal, null, stderr)
  assert.is(code, 0, stderr)
  const { modules, libraries } = JSON.parse(stdout) as { modules: number; libraries: string[] }
  assert.ok(modules > 20, `${modules} modules were imported`)
  assert.equal(libraries, [])
})

test('loading maps the addon and LibTorch for the CPU', async () => {
  const { error, libraries } = await load()
  assert.is(error, undefined)
  for (const name of ['localformer.node', 'liblocalformer_torch.so', 'libtorch_cpu.so']) {
    assert.ok(libraries.includes(name), `${name} is in ${libraries}`)
  }
})

test('a folder without LibTorch: said before anything is loaded, with the ways out', async () => {
  const loaded = await load({ LOCALFORMER_LIBTORCH: folder })
  const error = failed(loaded, 'ERR_LIBTORCH_NOT_FOUND')
  assert.match(error.message, folder)
  assert.match(error.message, 'LOCALFORMER_LIBTORCH')
  assert.match(error.hint, 'libtorch install')
  assert.equal(loaded.libraries, [])
})

test('no LibTorch anywhere: says where it looked', async () => {
  const loaded = await load({
    LOCALFORMER_LIBTORCH: undefined,
    LIBTORCH: undefined,
    LOCALFORMER_CACHE: folder,
  })
  const error = failed(loaded, 'ERR_LIBTORCH_NOT_FOUND')
  assert.match(error.message, folder)
  assert.equal(loaded.libraries, [])
})

test('a LibTorch of another version: said before anything is loaded', async () => {
  writeFiles(folder, torchFiles('2.10.0+cpu', null))
  const loaded = await load({ LOCALFORMER_LIBTORCH: path.join(folder, 'torch') })
  const error = failed(loaded, 'ERR_LIBTORCH_VERSION')
  assert.match(error.message, '2.10.0')
  assert.match(error.message, '2.11.0')
  assert.equal(loaded.libraries, [])
})

test('a LibTorch of the right version whose libraries are none', async () => {
  writeFiles(folder, torchFiles('2.11.0+cpu', null))
  writeFileSync(path.join(folder, 'torch/lib/libc10.so'), 'no library')
  const error = failed(
    await load({ LOCALFORMER_LIBTORCH: path.join(folder, 'torch') }),
    'ERR_ADDON_LOAD',
  )
  assert.match(error.message, 'libc10.so')
  assert.match(error.hint, 'doctor')
})

test('a copy of the package works by itself', async () => {
  const { lib } = copyPackage()
  const { error, libraries } = await load({}, lib)
  assert.is(error, undefined, error?.message ?? '')
  assert.ok(libraries.includes('localformer.node'))
})

for (const name of ['localformer.node', 'liblocalformer_torch.so']) {
  for (const [what, spoil] of [
    ['cut short', (file: string) => truncateSync(file, 40)],
    ['empty', (file: string) => truncateSync(file, 0)],
    ['another file', (file: string) => writeFileSync(file, 'x'.repeat(4096))],
    ['missing', (file: string) => rmSync(file)],
  ] as const) {
    test(`${name} is ${what}`, async () => {
      const { lib, addon } = copyPackage()
      spoil(path.join(addon, name))
      const loaded = await load({}, lib)
      const error = failed(loaded, 'ERR_ADDON_LOAD')
      assert.ok(error.message.includes(name) || error.message.includes(folder), error.message)
      assert.ok(error.hint)
      assert.not.ok(loaded.libraries.includes(name))
    })
  }
}

test.run()

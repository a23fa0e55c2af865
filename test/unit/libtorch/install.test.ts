// Installing LibTorch from each kind of source, and what is left when it fails or is killed.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import { installLibtorch } from '../../../lib/libtorch/install.js'
import type { InstallOptions, InstallProgress } from '../../../lib/libtorch/install-options.js'
import { locateLibtorch } from '../../../lib/libtorch/locate.js'
import { listLibtorch, removeLibtorch } from '../../../lib/libtorch/receipt.js'
import {
  archiveFiles,
  elf,
  type FakeWheels,
  type Files,
  makePip,
  makeSandbox,
  makeWheels,
  NVIDIA_FILES,
  type Sandbox,
  shellPath,
  torchFiles,
  withEnvironment,
  writeFiles,
  zip,
} from '../../helpers/fake-libtorch.js'

const CLEAN = {
  LOCALFORMER_LIBTORCH: undefined,
  LIBTORCH: undefined,
  LOCALFORMER_OFFLINE: undefined,
  LD_LIBRARY_PATH: undefined,
}

let sandbox: Sandbox
let wheels: FakeWheels

test.before.each(() => {
  sandbox = makeSandbox()
  wheels = makeWheels(path.join(sandbox.folder, 'wheels'))
})

test.after.each(() => sandbox.remove())

function install(options: InstallOptions = {}) {
  return installLibtorch({ cache: sandbox.cache, manifest: wheels.manifest, ...options })
}

async function fails(work: Promise<unknown>, code: string, ...parts: readonly RegExp[]) {
  const error = await work.then(
    () => assert.unreachable(`expected ${code}`),
    (reason: unknown) => reason,
  )
  assert.instance(error, LocalformerError)
  const { code: found, message, hint } = error as LocalformerError
  assert.is(found, code, message)
  for (const part of parts) assert.match(`${message}\n${hint}`, part)
  assert.equal(sandbox.cached(), [], 'nothing is left in the cache')
}

/** The environment with a pip that serves the fake wheels. */
function withPip<T>(work: () => Promise<T>, failing?: string): Promise<T> {
  const bin = makePip(path.join(sandbox.folder, 'bin'), wheels.folder, failing)
  const PATH = `${bin}:${shellPath(path.join(sandbox.folder, 'shell'))}`
  return withEnvironment({ ...CLEAN, PATH }, work)
}

test('pip: downloads the pinned wheels, keeps what a CPU run needs, is found afterwards', async () => {
  const steps: InstallProgress[] = []
  await withPip(async () => {
    const result = await install({ onProgress: (step) => steps.push(step) })
    assert.is(result.flavor, 'cpu')
    assert.is(result.version, '2.11.0+cu130')
    assert.is(result.source, 'pip')
    assert.is(result.verified, true)
    assert.is(result.alreadyInstalled, false)
    const { root } = result
    assert.is(locateLibtorch({ cache: sandbox.cache }).root, root)
    const has = (name: string) => existsSync(path.join(root, name))
    assert.ok(has('lib/libtorch_cpu.so') && has('lib/libgomp.so.1') && has('version.py'))
    assert.ok(has('include/torch/torch.h') && has('../nvidia/cu13/lib/libcudart.so.13'))
    assert.not(has('lib/libtorch_cuda.so'))
    assert.not(has('lib/libtorch_python.so') || has('__init__.py'))
    assert.not(has('../nvidia/cu13/lib/libcudart_static.a'))
  })
  assert.equal(sandbox.cached(), ['2.11.0-cpu'])
  const calls = readFileSync(path.join(sandbox.folder, 'bin/calls'), 'utf8')
  assert.match(calls, 'download --quiet --no-input')
  assert.match(calls, 'torch==2.11.0')
  assert.match(calls, 'nvidia-cuda-runtime==13.0.96')
  for (const phase of ['download', 'verify', 'extract'] as const) {
    const last = steps.filter((step) => step.phase === phase).at(-1)
    assert.ok(last && last.totalBytes > 0, phase)
    assert.is(last?.doneBytes, last?.totalBytes, phase)
  }
})

test('cuda: keeps the CUDA libraries and headers, not those for Python', async () => {
  const { root } = await install({ from: wheels.torch, flavor: 'cuda' })
  assert.ok(existsSync(path.join(root, 'lib/libtorch_cuda.so')))
  assert.ok(existsSync(path.join(root, '../nvidia/cu13/include/cuda_runtime_api.h')))
  assert.not(existsSync(path.join(root, 'lib/libtorch_python.so')))
  const found = await withEnvironment(CLEAN, () => locateLibtorch({ cache: sandbox.cache }))
  assert.is(found.flavor, 'cuda')
})

test('simulated: the CUDA libraries of torch and the headers, nothing else of NVIDIA', async () => {
  await withPip(async () => {
    const result = await install({ flavor: 'simulated' })
    assert.is(result.flavor, 'simulated')
    assert.is(result.verified, true)
    const has = (name: string) => existsSync(path.join(result.root, name))
    for (const name of ['torch_cuda', 'c10_cuda', 'torch_cuda_linalg']) {
      assert.ok(has(`lib/lib${name}.so`), name)
    }
    assert.ok(has('../nvidia/cu13/include/cuda_runtime_api.h'))
    assert.ok(has('../nvidia/cu13/include/crt/host_defines.h'))
    // What libtorch_cpu.so needs is there, as for cpu.
    assert.equal(readdirSync(path.join(result.root, '../nvidia/cu13/lib')), ['libcudart.so.13'])
    assert.not(has('lib/libtorch_python.so'))
    const found = locateLibtorch({ cache: sandbox.cache })
    assert.is(found.root, result.root)
    assert.is(found.flavor, 'simulated')
    assert.is(found.cudaInclude, path.resolve(result.root, '../nvidia/cu13/include'))
  })
  const calls = readFileSync(path.join(sandbox.folder, 'bin/calls'), 'utf8')
  assert.match(calls, 'nvidia-cuda-crt==13.0.88')
  assert.not.match(calls, 'nvidia-cublas')
  assert.equal(sandbox.cached(), ['2.11.0-simulated'])
})

test('simulated from a wheel without CUDA, or one that lacks a library, is refused', async () => {
  const file = path.join(sandbox.folder, 'torch.whl')
  const from = (files: Files) => {
    writeFileSync(file, zip(files))
    return install({ from: file, flavor: 'simulated' })
  }
  const cpu = torchFiles('2.11.0+cpu', null)
  await fails(from(cpu), 'ERR_CONFIG', /--flavor simulated`, but .* has no libtorch_cuda\.so/)
  const { 'torch/lib/libc10_cuda.so': _, ...half } = torchFiles()
  await withPip(() => fails(from(half), 'ERR_LIBTORCH_NOT_FOUND', /needs libc10_cuda\.so/))
})

test('cuda without a library that libtorch_cuda.so needs is refused, with its name', async () => {
  const site = path.join(sandbox.folder, 'site-packages')
  writeFiles(site, { ...torchFiles(), 'nvidia/cu13/lib/libcudart.so.13': elf() })
  await withPip(async () => {
    const work = install({ from: site, flavor: 'cuda' })
    await fails(work, 'ERR_LIBTORCH_NOT_FOUND', /libtorch_cuda\.so needs libcublas\.so\.99/)
  })
})

const HEADERS = ['cuda_runtime_api.h', 'crt/host_defines.h']

test('CUDA headers that a source does not bring are fetched', async () => {
  const site = path.join(sandbox.folder, 'site-packages')
  const own = 'nvidia/cu13/include/cuda_runtime_api.h'
  writeFiles(site, { ...torchFiles(), ...NVIDIA_FILES, [own]: '// its own\n' })
  await withPip(async () => {
    const { root, flavor } = await install({ from: site })
    assert.is(flavor, 'cuda')
    const { cudaInclude = '' } = locateLibtorch({ cache: sandbox.cache })
    assert.is(cudaInclude, path.resolve(root, '../nvidia/cu13/include'))
    for (const header of HEADERS) assert.ok(existsSync(path.join(cudaInclude, header)), header)
    assert.is(readFileSync(path.join(cudaInclude, HEADERS[0] ?? ''), 'utf8'), '// its own\n')
    // One for the CPU has no use for them.
    const cpu = await install({ from: site, flavor: 'cpu' })
    assert.not(existsSync(path.resolve(cpu.root, '../nvidia/cu13/include')))
  })
  const calls = readFileSync(path.join(sandbox.folder, 'bin/calls'), 'utf8')
  assert.not.match(calls, 'nvidia-cublas')
})

test('without CUDA headers the install succeeds, says it, and its advice works', async () => {
  const site = path.join(sandbox.folder, 'site-packages')
  writeFiles(site, { ...torchFiles(), ...NVIDIA_FILES })
  const notes: string[] = []
  const onNote = (note: string) => notes.push(note)
  await withEnvironment({ ...CLEAN, LOCALFORMER_OFFLINE: '1' }, async () => {
    const root = path.join(site, 'torch')
    await install({ from: root, onNote })
    assert.is(locateLibtorch({ cache: sandbox.cache }).cudaInclude, undefined)
    assert.match(notes.join('\n'), /headers are not in it .*LOCALFORMER_OFFLINE is set/s)
    const files = wheels.manifest.wheels.map(({ file }) => file)
    const named = files.filter((file) => notes.join('\n').includes(file))
    assert.is(named.length, 2)
    for (const file of named) copyFileSync(path.join(wheels.folder, file), path.join(site, file))
    notes.length = 0
    await install({ from: root, force: true, onNote })
    assert.ok(locateLibtorch({ cache: sandbox.cache }).cudaInclude)
    assert.not.match(notes.join('\n'), 'headers')
  })
})

test('what is installed is not installed again, unless forced', async () => {
  const first = await install({ from: wheels.torch })
  assert.is((await install({ from: wheels.torch })).alreadyInstalled, true)
  assert.is((await install()).alreadyInstalled, true)
  writeFileSync(path.join(first.root, 'mark'), '')
  assert.is((await install({ from: wheels.torch, force: true })).alreadyInstalled, false)
  assert.not(existsSync(path.join(first.root, 'mark')))
  assert.equal(sandbox.cached(), ['2.11.0-cpu'])
})

test('two installs at once: one works, the other waits and finds it there', async () => {
  const notes: string[] = []
  const one = () => install({ from: wheels.torch, onNote: (note) => notes.push(note) })
  const results = await Promise.all([one(), one()])
  const states = results.map(({ alreadyInstalled }) => alreadyInstalled)
  assert.equal(states.sort(), [false, true])
  assert.match(notes.join('\n'), /Waiting for another install \(process \d+\)/)
})

test('a lock of a process that has ended is taken over, one of another machine is not', async () => {
  const folder = path.join(sandbox.cache, 'libtorch')
  mkdirSync(folder, { recursive: true })
  const lock = path.join(folder, '.lock')
  symlinkSync(`${hostname()}:${process.pid}:1:1`, lock)
  await install({ from: wheels.torch })
  await removeLibtorch({ cache: sandbox.cache })
  symlinkSync('another-machine:1:1:1', lock)
  const error = await install({ from: wheels.torch }).catch((reason) => reason)
  assert.is(error.code, 'ERR_BUSY')
  assert.match(error.message, lock)
})

test('--from a wheel without its companion beside it: pip brings it, offline it is named', async () => {
  const alone = path.join(sandbox.folder, 'alone.whl')
  renameSync(wheels.torch, alone)
  await withEnvironment({ ...CLEAN, LOCALFORMER_OFFLINE: '1' }, () =>
    fails(install({ from: alone }), 'ERR_LIBTORCH_NOT_FOUND', /nvidia-cuda-runtime 13\.0\.96/),
  )
  await withPip(async () => {
    const result = await install({ from: alone })
    assert.is(result.verified, true)
    assert.is(result.source, 'wheel')
  })
})

test('--from a wheel built without CUDA needs nothing else', async () => {
  const file = path.join(sandbox.folder, 'torch-cpu.whl')
  writeFileSync(file, zip(torchFiles('2.11.0+cpu', null)))
  const notes: string[] = []
  const result = await install({ from: file, onNote: (note) => notes.push(note) })
  assert.is(result.version, '2.11.0+cpu')
  assert.is(result.verified, false)
  assert.match(notes.join('\n'), /none of the pinned wheels/)
  const asked = install({ from: file, flavor: 'cuda' })
  const error = await asked.catch((reason) => reason)
  assert.is(error.code, 'ERR_CONFIG')
  assert.match(error.message, /has no libtorch_cuda\.so/)
})

test('--from an official zip, and from a file URL', async () => {
  const file = path.join(sandbox.folder, 'libtorch.zip')
  writeFileSync(file, zip(archiveFiles()))
  const result = await install({ from: pathToFileURL(file).href })
  assert.is(result.source, 'archive')
  assert.ok(existsSync(path.join(result.root, 'lib/libgomp-1234abcd.so.1')))
  assert.is(
    (await withEnvironment(CLEAN, () => locateLibtorch({ cache: sandbox.cache }))).version,
    '2.11.0+cpu',
  )
})

test('--from a folder: site-packages, its torch, or an unpacked archive', async () => {
  const site = path.join(sandbox.folder, 'site-packages')
  writeFiles(site, torchFiles())
  writeFiles(site, NVIDIA_FILES)
  for (const header of HEADERS) writeFiles(site, { [`nvidia/cu13/include/${header}`]: '' })
  const cuda = await install({ from: site })
  assert.is(cuda.flavor, 'cuda')
  const simulated = await install({ from: path.join(site, 'torch'), flavor: 'simulated' })
  assert.ok(existsSync(path.join(simulated.root, 'lib/libc10_cuda.so')))
  const again = await install({ from: simulated.directory, force: true })
  assert.is(again.flavor, 'simulated', 'what the folder holds')
  const cpu = await install({ from: path.join(site, 'torch'), flavor: 'cpu' })
  assert.not(existsSync(path.join(cpu.root, 'lib/libtorch_cuda.so')))
  assert.ok(existsSync(path.join(cpu.root, '../nvidia/cu13/lib/libcudart.so.13')))
  rmSync(site, { recursive: true })
  assert.ok(existsSync(path.join(cpu.root, 'lib/libtorch_cpu.so')), 'it is a copy')
})

test('--from an http URL: known wheels are verified, a wrong answer is said', async () => {
  const server = createServer((request, response) => {
    const file = path.join(wheels.folder, path.basename(request.url ?? ''))
    if (existsSync(file)) response.end(readFileSync(file))
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const base = `http://127.0.0.1:${port}`
  try {
    await withPip(async () => {
      const missing = `${base}/none.whl`
      const trusted = install({ from: missing, trust: true })
      await fails(trusted, 'ERR_LIBTORCH_NOT_FOUND', /none\.whl/, /404/)
      const result = await install({ from: `${base}/${path.basename(wheels.torch)}` })
      assert.is(result.verified, true)
      assert.equal(sandbox.cached(), ['2.11.0-cpu'])
    })
  } finally {
    server.close()
    server.closeAllConnections()
  }
  await removeLibtorch({ cache: sandbox.cache })
  await withEnvironment(CLEAN, () =>
    fails(
      install({ from: `${base}/torch.whl`, trust: true }),
      'ERR_LIBTORCH_NOT_FOUND',
      /ECONNREFUSED/,
    ),
  )
})

test('a URL of which no sum is known is refused before it is asked, unless it is trusted', async () => {
  const file = zip(archiveFiles())
  const sha256 = createHash('sha256').update(file).digest('hex')
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.end(file)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const from = `http://127.0.0.1:${port}/libtorch.zip`
  try {
    await fails(
      install({ from }),
      'ERR_CHECKSUM',
      /none of the pinned wheels/,
      /--sha256/,
      /--trust/,
    )
    await fails(install({ from, trust: false }), 'ERR_CHECKSUM')
    await fails(install({ from: `${from}%ff` }), 'ERR_CHECKSUM')
    assert.equal(asked, [])
    const other = 'a'.repeat(64)
    await fails(install({ from, sha256: other }), 'ERR_CHECKSUM', new RegExp(`expected ${other}`))
    const notes: string[] = []
    const trusted = await install({ from, trust: true, onNote: (note) => notes.push(note) })
    assert.is(trusted.verified, false)
    assert.match(notes.join('\n'), sha256)
    const checked = await install({ from, sha256: sha256.toUpperCase(), force: true })
    assert.is(checked.verified, true)
  } finally {
    server.close()
    server.closeAllConnections()
  }
})

test('a sum is that of a file or URL, and the file has to have it', async () => {
  const sha256 = 'b'.repeat(64)
  await fails(install({ from: wheels.torch, sha256 }), 'ERR_CHECKSUM', /expected bbbb/)
  for (const options of [{ sha256 }, { from: wheels.folder, sha256 }]) {
    await fails(install(options), 'ERR_CONFIG', /A `sha256` is that of a file or URL/)
  }
  await fails(install({ from: wheels.torch, sha256: 'abc' }), 'ERR_CONFIG', /64 hexadecimal digits/)
  const trust = 'yes' as unknown as boolean
  await fails(install({ from: wheels.torch, trust }), 'ERR_CONFIG', /true or false for `trust`/)
})

test('an archive that cannot be unpacked as it stands is refused, and nothing is left', async () => {
  const file = path.join(sandbox.folder, 'hostile.zip')
  const refused = async (files: Files, ...parts: readonly RegExp[]) => {
    writeFileSync(file, zip({ ...archiveFiles(), ...files }))
    await fails(install({ from: file }), 'ERR_CONFIG', ...parts)
  }
  const [header, inner] = ['libtorch/include/a.h', 'libtorch/include/a.h/b']
  await refused({ [header]: '', [inner]: '' }, /holds both torch\/include\/a\.h and/)
  await refused({ [inner]: '', [header]: '' }, /holds both/)
  await refused({ [header]: '', 'libtorch/include/./a.h': '' }, /holds torch\/include\/a\.h twice/)
  await refused({ 'libtorch/include/../../../x': '' }, /damaged/)
  await refused(
    { 'libtorch/build-version': ' '.repeat(2 ** 20) },
    /build-version has 1048576 bytes/,
  )
  const many = Object.fromEntries(
    Array.from({ length: 70 }, (_, k) => [`libtorch/include/${k}.h`, Buffer.alloc(2 ** 20)]),
  )
  await refused(many, /unpacks to 70\.0 MiB, more than the/)
})

test('a receipt that is damaged is none', async () => {
  const { directory } = await install({ from: wheels.torch })
  const receipt = path.join(directory, 'install.json')
  const whole = readFileSync(receipt, 'utf8')
  for (const text of ['', '{', 'null', '[]', '{"version":1}', whole.replace('"cpu"', '"tpu"')]) {
    writeFileSync(receipt, text)
    assert.equal(listLibtorch({ cache: sandbox.cache }), [], text)
  }
})

test('pip is started where nobody else can have put a pip.py', async () => {
  const before = process.cwd()
  const place = path.join(sandbox.folder, 'work')
  writeFiles(place, { 'pip.py': 'raise SystemExit(3)' })
  process.chdir(place)
  try {
    await withPip(async () => {
      await install()
    })
  } finally {
    process.chdir(before)
  }
  const places = readFileSync(path.join(sandbox.folder, 'bin/places'), 'utf8').trim().split('\n')
  assert.ok(places.length >= 3)
  for (const line of places) assert.match(line, /^\S*localformer-python-\S+ 0 1$/)
})

test('offline: neither pip nor a URL is tried', async () => {
  await withPip(async () => {
    process.env.LOCALFORMER_OFFLINE = '1'
    await fails(install(), 'ERR_LIBTORCH_NOT_FOUND', /LOCALFORMER_OFFLINE/, /--from PATH/)
    const url = 'http://127.0.0.1:9/torch.whl'
    await fails(install({ from: url }), 'ERR_LIBTORCH_NOT_FOUND', /LOCALFORMER_OFFLINE/)
  })
  assert.not(existsSync(path.join(sandbox.folder, 'bin/calls')))
})

test('no pip: says what to install; a pip that fails: its own words', async () => {
  const PATH = shellPath(path.join(sandbox.folder, 'empty'))
  await withEnvironment({ ...CLEAN, PATH }, () =>
    fails(install(), 'ERR_LIBTORCH_NOT_FOUND', /python3 -m pip/, /Install Python with pip/),
  )
  await withPip(
    () => fails(install(), 'ERR_LIBTORCH_NOT_FOUND', /torch 2\.11\.0/, /no such host/),
    'no such host',
  )
})

test('a damaged wheel is found out, given or downloaded', async () => {
  appendFileSync(wheels.torch, 'x')
  const told = [/sha256/, new RegExp(path.basename(wheels.torch))]
  await fails(install({ from: wheels.torch }), 'ERR_CHECKSUM', ...told)
  await withPip(() => fails(install(), 'ERR_CHECKSUM', ...told))
})

test('a damaged member of an unknown zip is found out', async () => {
  const data = zip(archiveFiles())
  const at = data.indexOf('libtorch/lib/libtorch_cpu.so') + 'libtorch/lib/libtorch_cpu.so'.length
  data.fill(0xff, at, at + 4)
  const file = path.join(sandbox.folder, 'damaged.zip')
  writeFileSync(file, data)
  await fails(install({ from: file }), 'ERR_CHECKSUM', /libtorch_cpu\.so .* is damaged/)
})

test('another version, another CUDA, another machine, no version', async () => {
  const file = path.join(sandbox.folder, 'other.whl')
  const from = (files: Parameters<typeof zip>[0], options: InstallOptions = {}) => {
    writeFileSync(file, zip(files))
    return install({ from: file, ...options })
  }
  const old = torchFiles('2.5.1+cpu', null)
  await fails(from(old), 'ERR_LIBTORCH_VERSION', /other\.whl is LibTorch 2\.5\.1/, /2\.11\.0/)
  await fails(from(torchFiles('2.11.0+cu128', '12.8')), 'ERR_LIBTORCH_VERSION', /CUDA 12\.8/)
  await fails(from(archiveFiles('2.10.0+cpu')), 'ERR_LIBTORCH_VERSION', /2\.10\.0/)
  const arm = {
    ...torchFiles('2.11.0+cpu', null),
    'torch/lib/libtorch_cpu.so': elf({ machine: 183 }),
  }
  await fails(from(arm), 'ERR_LIBTORCH_NOT_FOUND', /libtorch_cpu\.so is not .* x86-64/)
  const folder = path.join(sandbox.folder, 'unversioned')
  writeFiles(folder, { 'lib/libtorch_cpu.so': elf() })
  await fails(install({ from: folder }), 'ERR_LIBTORCH_VERSION', /cannot be told/)
})

test('what is no LibTorch is named', async () => {
  const file = path.join(sandbox.folder, 'note.zip')
  writeFileSync(file, 'not a zip')
  await fails(install({ from: file }), 'ERR_CONFIG', /note\.zip/, /cannot be read as a zip/)
  writeFileSync(file, zip({ 'a.txt': 'a' }))
  await fails(install({ from: file }), 'ERR_CONFIG', /neither torch\/version\.py/)
  await fails(install({ from: sandbox.folder }), 'ERR_CONFIG', /lib\/libtorch_cpu\.so/)
  await fails(install({ from: '/nowhere/torch.whl' }), 'ERR_CONFIG', /\/nowhere\/torch\.whl/)
  await fails(install({ from: 'ftp://host/torch.whl' }), 'ERR_CONFIG', /http, https or file/)
  await fails(install({ from: '' }), 'ERR_CONFIG', /`from`/)
  await fails(install({ flavor: 'rocm' as 'cpu' }), 'ERR_CONFIG', /cpu or simulated or cuda/)
})

test('a cache that cannot be written is named, and too little space before the download', async () => {
  const cache = path.join(sandbox.folder, 'file')
  writeFileSync(cache, '')
  const hint = [new RegExp(cache), /LOCALFORMER_CACHE/]
  await fails(install({ from: wheels.torch, cache }), 'ERR_CONFIG', ...hint)
  await fails(install({ from: wheels.torch, cache: '/proc/none' }), 'ERR_CONFIG', /\/proc\/none/)
  const installedBytes = { cpu: 2 ** 60, simulated: 2 ** 60, cuda: 2 ** 60 }
  const manifest = { ...wheels.manifest, installedBytes }
  await withPip(async () => {
    const error = await install({ manifest }).catch((reason) => reason)
    assert.is(error.code, 'ERR_CONFIG')
    assert.match(error.message, /Not enough space/)
    assert.is(error.freeBytes > 0, true)
  })
  assert.equal(sandbox.cached(), [])
  assert.not(existsSync(path.join(sandbox.folder, 'bin/calls')))
})

test('aborting ends the install with the reason of the signal and leaves nothing', async () => {
  for (const phase of ['verify', 'extract']) {
    const controller = new AbortController()
    const reason = new Error('enough')
    const onProgress = (step: InstallProgress) => {
      if (step.phase === phase) controller.abort(reason)
    }
    const { signal } = controller
    const error = await install({ from: wheels.torch, signal, onProgress }).catch((e) => e)
    assert.ok(error === reason || error.name === 'AbortError', String(error))
    assert.equal(sandbox.cached(), [])
  }
})

/** Runs an install in a process of its own, whose `onProgress` runs `body` with `step`. */
function installInChild(body: string, before = '') {
  const url = new URL('../../../lib/libtorch/install.js', import.meta.url).href
  const options = { cache: sandbox.cache, manifest: wheels.manifest, from: wheels.torch }
  const script = `
    const { installLibtorch } = await import(${JSON.stringify(url)})
    const onProgress = (step) => { ${body} }
    try {
      await installLibtorch({ ...${JSON.stringify(options)}, onProgress })
    } catch (error) {
      process.stdout.write(error.code + ' ' + error.message)
    }`
  const command = `${before} exec "$0" --input-type=module -e "$1"`
  return spawnSync('/bin/sh', ['-c', command, process.execPath, script], { encoding: 'utf8' })
}

test('kill -9 in any phase leaves nothing that looks complete, and the next install cleans up', async () => {
  const last = "step.phase === 'extract' && step.doneBytes === step.totalBytes"
  for (const when of ["step.phase === 'verify'", "step.phase === 'extract'", last]) {
    const child = installInChild(`if (${when}) process.kill(process.pid, 'SIGKILL')`)
    assert.is(child.signal, 'SIGKILL', child.stderr)
    assert.equal(listLibtorch({ cache: sandbox.cache }), [])
    await withEnvironment(CLEAN, () =>
      assert.throws(
        () => locateLibtorch({ cache: sandbox.cache }),
        (error: LocalformerError) => error.code === 'ERR_LIBTORCH_NOT_FOUND',
      ),
    )
    assert.ok(sandbox.cached().some((name) => name.startsWith('.staging-')))
    await install({ from: wheels.torch })
    assert.equal(sandbox.cached(), ['2.11.0-cpu'])
    await removeLibtorch({ cache: sandbox.cache })
  }
})

test('a disk that fills up in mid-install is said and leaves nothing', () => {
  // A limit on the size of files fails like a full disk (EFBIG), and needs no rights to set.
  const torch = {
    ...torchFiles(),
    'torch/lib/libtorch_cpu.so': Buffer.concat([elf(), Buffer.alloc(8192)]),
  }
  wheels = makeWheels(wheels.folder, torch)
  const child = installInChild('', 'ulimit -f 4;')
  assert.match(child.stdout, /^ERR_CONFIG No space left for LibTorch in/, child.stderr)
  assert.equal(sandbox.cached(), [])
})

test('list and remove', async () => {
  const { cache } = sandbox
  assert.equal(await removeLibtorch({ cache }), [])
  await install({ from: wheels.torch })
  await install({ from: wheels.torch, flavor: 'cuda' })
  const flavors = () => listLibtorch({ cache }).map(({ flavor }) => flavor)
  assert.equal(flavors(), ['cpu', 'cuda'])
  const removed = await removeLibtorch({ cache, flavor: 'cpu' })
  assert.equal(
    removed.map(({ flavor }) => flavor),
    ['cpu'],
  )
  assert.equal(flavors(), ['cuda'])
  await removeLibtorch({ cache })
  assert.equal(sandbox.cached(), [])
})

test('the source is never changed', async () => {
  const before = readFileSync(wheels.torch)
  const copy = path.join(sandbox.folder, path.basename(wheels.torch))
  copyFileSync(wheels.torch, copy)
  await install({ from: wheels.torch })
  assert.equal(readFileSync(wheels.torch), before)
})

test.run()

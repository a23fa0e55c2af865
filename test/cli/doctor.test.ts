// `localformer doctor`: on this machine, on one without LibTorch, and its checks one by one.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isOlder } from '../../lib/base/version.js'
import type { Check } from '../../lib/doctor/check.js'
import {
  checkAddon,
  checkMemory,
  checkNode,
  checkPlatform,
  checkThreads,
} from '../../lib/doctor/doctor.js'
import { readProbe } from '../../lib/doctor/run-probe.js'
import { doctor, MAIN } from '../helpers/doctor-command.js'
import { makeSandbox, type Sandbox, torchFiles, writeFiles } from '../helpers/fake-libtorch.js'

const test = suite<{ sandbox: Sandbox }>('localformer doctor')

test.before.each((context) => {
  context.sandbox = makeSandbox()
})

test.after.each(({ sandbox }) => sandbox.remove())

/** Without LibTorch: an empty cache and no variable. */
function without(sandbox: Sandbox): NodeJS.ProcessEnv {
  return { LOCALFORMER_CACHE: sandbox.cache, LOCALFORMER_LIBTORCH: '', LIBTORCH: '' }
}

function byName(checks: readonly Check[], name: string): Check {
  const check = checks.find((candidate) => candidate.name === name)
  assert.ok(check, `no check ${name}`)
  return check
}

test('--json is one document, and the exit code follows from it', () => {
  const { code, stdout } = doctor({}, '--json')
  const { schema, ok, checks } = JSON.parse(stdout) as {
    schema: number
    ok: boolean
    checks: Check[]
  }
  assert.is(schema, 1)
  assert.is(
    ok,
    checks.every(({ status }) => status !== 'fail'),
  )
  assert.is(code, ok ? 0 : 1)
  for (const check of checks) {
    assert.equal(Object.keys(check), ['name', 'status', 'detail', 'fix'])
    assert.ok(['ok', 'warn', 'fail'].includes(check.status))
    if (check.status === 'ok') assert.is(check.fix, null)
  }
  assert.is(byName(checks, 'node').detail, process.versions.node)
  assert.is(byName(checks, 'platform').status, 'ok')
  // Where LibTorch is found, the addon was opened with it and says what it runs on.
  if (byName(checks, 'libtorch').status !== 'ok') return
  assert.is(byName(checks, 'addon').status, 'ok', byName(checks, 'addon').detail)
  assert.match(byName(checks, 'threads').detail, /^\d+ of LibTorch/)
  for (const name of ['cpu', 'cuda', 'memory']) byName(checks, name)
})

test('text is one line a check, with what mends it', ({ sandbox }) => {
  const { code, stdout, stderr } = doctor(without(sandbox))
  assert.is(code, 1)
  assert.is(stderr, '')
  for (const line of stdout.trimEnd().split('\n')) {
    assert.match(line, /^(ok {3}|warn |fail )[a-z][a-z0-9 ]*: \S/)
  }
  assert.match(stdout, /^fail libtorch: .* -> npx localformer libtorch install$/m)
  assert.match(stdout, /^warn dataset cifar10: .* -> npx localformer dataset fetch cifar10$/m)
})

test('a variable that names no LibTorch is named, with how to be rid of it', ({ sandbox }) => {
  const env = { ...without(sandbox), LOCALFORMER_LIBTORCH: path.join(sandbox.folder, 'nowhere') }
  const { code, stdout } = doctor(env, '--json')
  assert.is(code, 1)
  const { status, detail, fix } = byName(JSON.parse(stdout).checks, 'libtorch')
  assert.is(status, 'fail')
  assert.match(detail, 'nowhere (no such folder)')
  assert.match(fix ?? '', 'unset LOCALFORMER_LIBTORCH')
})

test('pip.py in the working directory is not run', ({ sandbox }) => {
  const place = path.join(sandbox.folder, 'work')
  mkdirSync(place, { recursive: true })
  const mark = path.join(sandbox.folder, 'ran')
  writeFileSync(path.join(place, 'pip.py'), `open(${JSON.stringify(mark)}, "w").write("x")\n`)
  spawnSync(process.execPath, [MAIN, 'doctor'], {
    ...{ cwd: place, env: { ...process.env, ...without(sandbox) } },
  })
  assert.not(existsSync(mark))
})

test('a LibTorch whose files could not be checked is said to be such', ({ sandbox }) => {
  writeFiles(sandbox.folder, torchFiles('2.11.0+cpu', null))
  const env = { ...process.env, ...without(sandbox) }
  const args = [MAIN, 'libtorch', 'install', '--from', sandbox.folder]
  assert.is(spawnSync(process.execPath, args, { env }).status, 0)
  const { stdout } = doctor(without(sandbox), '--json')
  const { status, detail, fix } = byName(JSON.parse(stdout).checks, 'libtorch')
  assert.is(status, 'warn')
  assert.match(detail, `not verified: it was installed from ${sandbox.folder}`)
  assert.is(fix, 'npx localformer libtorch install --force')
  const own = { ...without(sandbox), LOCALFORMER_LIBTORCH: sandbox.folder }
  const found = byName(JSON.parse(doctor(own, '--json').stdout).checks, 'libtorch')
  assert.is(found.status, 'ok')
  assert.match(found.detail, 'its files are not checked')
})

test('a half fetched data set is told apart from none', ({ sandbox }) => {
  const folder = path.join(sandbox.cache, 'datasets', 'cifar-10-batches-bin')
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'test_batch.bin'), 'short')
  const { stdout } = doctor(without(sandbox), '--json')
  const { status, detail } = byName(JSON.parse(stdout).checks, 'dataset cifar10')
  assert.is(status, 'warn')
  assert.is(detail, `incomplete in ${folder}`)
})

test('a LibTorch that cannot be opened is a failed addon, not a crash', ({ sandbox }) => {
  // Passes the lookup, which reads names and the version, but is no library.
  const lib = path.join(sandbox.folder, 'torch', 'lib')
  mkdirSync(lib, { recursive: true })
  for (const name of ['libtorch_cpu.so', 'libc10.so']) writeFileSync(path.join(lib, name), 'text')
  writeFileSync(path.join(sandbox.folder, 'torch', 'build-version'), '2.11.0\n')
  const env = { ...without(sandbox), LOCALFORMER_LIBTORCH: sandbox.folder }
  const { code, stdout, stderr } = doctor(env, '--json')
  assert.is(code, 1, stderr)
  const { checks } = JSON.parse(stdout)
  assert.is(byName(checks, 'libtorch').status, 'ok')
  const { status, detail, fix } = byName(checks, 'addon')
  assert.is(status, 'fail')
  // Says which file, where the addon itself is there.
  if (detail.startsWith('in ')) assert.match(detail, 'libc10.so')
  assert.ok(fix)
})

test('versions are compared number by number', () => {
  assert.ok(isOlder('20.8.1', '20.9'))
  assert.ok(isOlder('2.9', '2.29'))
  assert.not(isOlder('20.9', '20.9'))
  assert.not(isOlder('20.10.0', '20.9'))
  assert.not(isOlder('3', '2.29'))
  assert.is(checkNode('18.20.4').status, 'fail')
  assert.is(checkNode('22.0.0').status, 'ok')
})

test('another platform, another C library and an old one fail', () => {
  assert.is(checkPlatform('linux', 'x64', '2.28').status, 'ok')
  assert.is(checkPlatform('linux', 'x64', '2.27').status, 'fail')
  assert.match(checkPlatform('linux', 'x64', undefined).detail, 'musl')
  assert.match(checkPlatform('darwin', 'arm64', undefined).detail, 'darwin-arm64')
})

const FOUND: Check = { name: 'libtorch', status: 'ok', detail: '', fix: null }
const LOADER = '{"stage":"loader","begins":true}\n{"stage":"loader","result":{"folder":"/addon"}}\n'
const TORCH =
  '{"stage":"torch","begins":true}\n{"stage":"torch","result":' +
  '{"libtorch":"2.11.0","cpuCapability":"AVX2","flavor":"cuda","threads":4}}\n'

function cudaCheck(result: unknown): Check {
  const line = JSON.stringify({ stage: 'devices', result })
  const run = { ...readProbe(`${LOADER}${TORCH}${line}\n`), how: 'ended with code 0' }
  return byName(checkAddon(run, FOUND), 'cuda')
}

test('a probe that is ended by a signal is a line with the signal and the stage', () => {
  const run = {
    ...readProbe(`${LOADER}{"stage":"torch","begins":true}\n`),
    how: 'ended by SIGSEGV',
  }
  assert.is(run.diedIn, 'torch')
  const checks = checkAddon(run, FOUND)
  assert.is(checks.length, 1)
  const { status, detail } = checks[0] as Check
  assert.is(status, 'fail')
  assert.is(detail, 'the process that was opening LibTorch and the addon ended by SIGSEGV')
})

test('one that is stuck at the devices still tells of the addon and the processor', () => {
  const output = `${LOADER}noise of a library\n${TORCH}{"stage":"devices","begins":true}\n`
  const run = { ...readProbe(output), how: 'no answer within 120 s' }
  const checks = checkAddon(run, FOUND)
  assert.is(byName(checks, 'addon').status, 'ok')
  assert.is(byName(checks, 'cpu').detail, 'AVX2')
  assert.is(byName(checks, 'cuda').status, 'fail')
  assert.match(byName(checks, 'cuda').detail, 'no answer within 120 s')
})

test('devices are listed with their memory', () => {
  const device = { name: 'NVIDIA H100', totalMemoryBytes: 80 * 2 ** 30, major: 9, minor: 0 }
  const { detail } = cudaCheck({ cuda: [device], reason: null, driver: true })
  assert.is(detail, 'cuda:0 NVIDIA H100, 80.0 GiB, compute 9.0')
})

test('no GPU is fine, one that cannot be used is not', () => {
  const none = { cuda: [], reason: 'no NVIDIA driver' }
  assert.is(cudaCheck({ ...none, driver: false }).status, 'ok')
  assert.is(cudaCheck({ ...none, driver: true }).status, 'warn')
})

test('more threads than cores and little memory are warnings', () => {
  assert.is(checkThreads(2, 2).status, 'ok')
  assert.is(checkThreads(64, 2).fix, 'OMP_NUM_THREADS=2')
  const all = { totalBytes: 64 * 2 ** 30, freeSwapBytes: 0 }
  assert.is(checkMemory({ ...all, availableBytes: 32 * 2 ** 30 }).status, 'ok')
  const little = checkMemory({ ...all, availableBytes: 2 ** 30, limitBytes: 2 ** 30 })
  assert.is(little.status, 'warn')
  assert.match(little.detail, 'limit of the group 1.00 GiB')
})

test.run()

// `localformer libtorch`: a folder that looks like LibTorch, an empty cache, no network.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { makeSandbox, type Sandbox, torchFiles, writeFiles } from '../helpers/fake-libtorch.js'

const test = suite<{ sandbox: Sandbox }>('localformer libtorch')
const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))

test.before.each((context) => {
  context.sandbox = makeSandbox()
})

test.after.each(({ sandbox }) => sandbox.remove())

function localformer({ cache }: Sandbox, ...args: string[]) {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    LOCALFORMER_CACHE: cache,
    LOCALFORMER_OFFLINE: '1',
  }
  for (const name of ['LOCALFORMER_LIBTORCH', 'LIBTORCH', 'LOCALFORMER_DEBUG']) delete env[name]
  const result = spawnSync(process.execPath, [main, 'libtorch', ...args], { env, encoding: 'utf8' })
  const json = () => JSON.parse(result.stdout)
  return { code: result.status, stdout: result.stdout, stderr: result.stderr, json }
}

/** A folder as a wheel unpacks it; gives the root with `lib/`. */
function unpacked({ folder }: Sandbox): string {
  writeFiles(folder, torchFiles('2.11.0+cpu', null))
  return path.join(folder, 'torch')
}

test('where says which one is used, and by which rule', ({ sandbox }) => {
  const root = unpacked(sandbox)
  const { code, stdout, stderr } = localformer(sandbox, 'where', '--path', sandbox.folder)
  assert.is(code, 0, stderr)
  assert.is(stdout, `LibTorch 2.11.0+cpu (cpu), found by: option\n${root}\n`)
})

test('where --json is what the build reads', ({ sandbox }) => {
  const root = unpacked(sandbox)
  const { code, json } = localformer(sandbox, 'where', '--path', root, '--json')
  assert.is(code, 0)
  assert.equal(json(), {
    schema: 1,
    root,
    version: '2.11.0+cpu',
    flavor: 'cpu',
    source: 'option',
    libraries: {
      c10: path.join(root, 'lib', 'libc10.so'),
      torchCpu: path.join(root, 'lib', 'libtorch_cpu.so'),
    },
    include: path.join(root, 'include'),
  })
})

test('where with an empty cache says where it looked and how to get one', ({ sandbox }) => {
  const { code, json, stderr } = localformer(sandbox, 'where', '--json')
  assert.is(code, 1)
  const { error } = json()
  assert.is(error.code, 'ERR_LIBTORCH_NOT_FOUND')
  assert.ok(error.candidates.length > 0)
  assert.match(stderr, sandbox.cache)
  assert.match(stderr, 'localformer libtorch install')
})

test('list shows what is installed and what can be', ({ sandbox }) => {
  const { code, stdout } = localformer(sandbox, 'list')
  assert.is(code, 0)
  assert.match(stdout, /^ {2}nothing$/m)
  assert.match(stdout, /^ {2}2\.11\.0 cpu .* to download, .* on disk$/m)
  const { installed, available } = localformer(sandbox, 'list', '--json').json()
  assert.equal(installed, [])
  assert.equal(
    available.map(({ flavor }: { flavor: string }) => flavor),
    ['cpu', 'simulated', 'cuda'],
  )
})

test('install takes a folder, which list, where and remove then know', ({ sandbox }) => {
  const from = unpacked(sandbox)
  const first = localformer(sandbox, 'install', '--from', from)
  assert.is(first.code, 0, first.stderr)
  assert.match(first.stdout, /^LibTorch 2\.11\.0\S* \(cpu\) is installed: /)
  const again = localformer(sandbox, 'install', '--from', from)
  assert.match(again.stdout, 'is already installed')
  assert.match(again.stderr, '--force replaces it.')
  assert.is(localformer(sandbox, 'list', '--json').json().installed.length, 1)
  assert.is(localformer(sandbox, 'where', '--json').json().source, 'cache')
  assert.match(localformer(sandbox, 'remove').stdout, /^Removed 2\.11\.0/)
  assert.equal(localformer(sandbox, 'list', '--json').json().installed, [])
})

test('install from a URL without a known sum is refused, and says how to give one', ({
  sandbox,
}) => {
  const from = 'https://127.0.0.1:9/libtorch.zip'
  const env = { ...process.env, LOCALFORMER_CACHE: sandbox.cache }
  const { status, stderr } = spawnSync(
    process.execPath,
    [main, 'libtorch', 'install', '--from', from],
    {
      ...{ env, encoding: 'utf8' },
    },
  )
  assert.is(status, 1)
  assert.match(stderr, 'none of the pinned wheels')
  assert.match(stderr, '--sha256')
  assert.match(stderr, '--trust')
  const folder = unpacked(sandbox)
  const args = ['install', '--from', folder, '--sha256', 'a'.repeat(64)]
  assert.is(localformer(sandbox, ...args).code, 2)
  assert.equal(sandbox.cached(), [])
})

test('what could not be verified is said by list', ({ sandbox }) => {
  localformer(sandbox, 'install', '--from', unpacked(sandbox))
  assert.match(localformer(sandbox, 'list').stdout, /from folder, not verified {2}/)
})

test('the torch of the working directory is not taken for that of Python', ({ sandbox }) => {
  const place = path.join(sandbox.folder, 'work')
  writeFiles(place, torchFiles('2.11.0', null))
  const env = { ...process.env, LOCALFORMER_CACHE: sandbox.cache, PYTHONPATH: '' }
  for (const name of ['LOCALFORMER_LIBTORCH', 'LIBTORCH'] as const)
    Reflect.deleteProperty(env, name)
  const { stdout, stderr } = spawnSync(process.execPath, [main, 'libtorch', 'where', '--python'], {
    ...{ env, cwd: place, encoding: 'utf8' },
  })
  assert.not.match(`${stdout}${stderr}`, place)
})

test('install of an unknown flavor is bad usage', ({ sandbox }) => {
  const { code, stderr } = localformer(sandbox, 'install', '--flavor', 'x')
  assert.is(code, 2)
  assert.match(stderr, /cpu, simulated, cuda for `--flavor` but received "x"[\s\S]*ERR_USAGE/)
})

test('install --from a path that is not there says so and installs nothing', ({ sandbox }) => {
  const { code, json } = localformer(sandbox, 'install', '--from', '/nope', '--json')
  assert.is(code, 2)
  assert.is(json().error.code, 'ERR_CONFIG')
  assert.match(json().error.message, '/nope')
  assert.equal(sandbox.cached(), [])
})

test.run()

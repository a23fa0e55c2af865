// The packed package as a user has it: installed by npm into an empty folder, where there is no compiler,
// it says what fits a card.
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test as plain } from 'uvu'
import * as assert from 'uvu/assert'
import { DIST } from '../helpers/child.js'

const ROOT = path.resolve(DIST, '..')
const BUILT = path.join(ROOT, 'build/Release')

function run(program: string, args: readonly string[], cwd: string, env = process.env) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, env, encoding: 'utf8' })
  return { status, stdout, stderr: error === undefined ? stderr : error.message }
}

function succeed(program: string, args: readonly string[], cwd: string): void {
  const { status, stderr } = run(program, args, cwd)
  assert.is(status, 0, `${program} ${args.join(' ')}: ${stderr}`)
}

/** A folder of programs that has node, npm and a shell, and nothing that compiles. */
function programsIn(folder: string): string {
  const bin = path.join(folder, 'bin')
  mkdirSync(bin)
  for (const name of ['node', 'npm', 'npx', 'sh', 'env', 'python3', 'tar']) {
    const found = run('sh', ['-c', `command -v ${name}`], folder).stdout.trim()
    if (found !== '') symlinkSync(found, path.join(bin, name))
  }
  return bin
}

/** `npm pack`, and what `npm run prebuild` adds to it: here from this build. */
function pack(folder: string): string {
  succeed('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], ROOT)
  const [packed] = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  succeed('tar', ['-xzf', packed as string], folder)
  const prebuilds = path.join(folder, 'package/prebuilds/linux-x64')
  mkdirSync(prebuilds, { recursive: true })
  for (const name of readdirSync(BUILT)) {
    if (/\.(node|so)$/.test(name)) copyFileSync(path.join(BUILT, name), path.join(prebuilds, name))
  }
  const whole = path.join(folder, 'whole.tgz')
  succeed('tar', ['-czf', whole, 'package'], folder)
  return whole
}

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-package-'))
const project = path.join(folder, 'project')
mkdirSync(project)
writeFileSync(path.join(project, 'package.json'), '{"private":true}')
const env = { ...process.env, PATH: programsIn(folder) }
const options = ['--no-audit', '--no-fund', '--prefer-offline']
const install = run('npm', ['install', ...options, pack(folder)], project, env)
// The package's own dependencies come from the registry.
const isOffline =
  install.status !== 0 && /EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT/.test(install.stderr)
if (isOffline) console.log('skipped: the registry cannot be reached')
const test = isOffline ? plain.skip : plain

plain.after(() => rmSync(folder, { recursive: true, force: true }))

function localformer(...args: string[]) {
  return run('npx', ['--no-install', 'localformer', ...args], project, env)
}

test('is installed without a compiler, and plans for a card', () => {
  assert.is(install.status, 0, install.stderr)
  const libtorch = localformer('libtorch', 'install', '--flavor', 'simulated')
  assert.is(libtorch.status, 0, libtorch.stderr)
  const batch = ['--image-size', '224', '--batch-size', '64', '--json']
  const { status, stdout, stderr } = localformer(
    ...['plan', '--gpu', 'rtx3060', '--run', 'paper:4', ...batch],
  )
  assert.is(status, 0, stderr)
  const { rows } = JSON.parse(stdout)
  assert.is(rows[0].verdict, 'fits')
  assert.ok(rows[0].peakAllocatedBytes > 2 ** 30, `${rows[0].peakAllocatedBytes} bytes`)
})

test('a script imports it, and trains', () => {
  const script = `
    import { LocalTrainer, openDataset, SwinTransformer, train } from 'localformer'
    const model = await SwinTransformer.create({
      ...{ imageSize: 32, windowSize: 4, classes: 10 },
      ...{ embedDim: 16, depths: [1, 1, 1, 1], heads: [1, 2, 4, 8] },
    })
    const trainer = await LocalTrainer.create(model, { method: 'paper', modules: 4 })
    const data = await openDataset('synthetic')
    const { steps } = await train(trainer, data, { batchSize: 8, epochs: 1, maxSteps: 2, testLimit: 8 })
    console.log(steps)`
  writeFileSync(path.join(project, 'script.mjs'), script)
  const { status, stdout, stderr } = run('node', ['script.mjs'], project, env)
  assert.is(status, 0, stderr)
  assert.is(stdout.trim(), '2')
})

plain.run()

// Makes prebuilds/linux-x64/{localformer.node,liblocalformer_*.so} with prebuildify, from a clean
// build, and says which glibc they need: `npm run prebuild`.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { formatBytes } from '../lib/base/format.js'
import { isOlder } from '../lib/base/version.js'
import { STAND_INS } from '../lib/simulated/stand-ins.js'
import { isEntryPoint, ROOT, runScript, ScriptError } from './lib/script.js'

const FOLDER = path.join(ROOT, 'prebuilds', 'linux-x64')
const EXPECTED = ['localformer.node', 'liblocalformer_torch.so', ...STAND_INS]
const WITH_CUDA = 'liblocalformer_cuda.so'

async function main(): Promise<number> {
  rmSync(FOLDER, { recursive: true, force: true })
  const require = createRequire(import.meta.url)
  const prebuildify = path.join(path.dirname(require.resolve('prebuildify')), 'bin.js')
  const { status } = spawnSync(process.execPath, [prebuildify, '--napi', '--strip'], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, PREBUILD_NODE_GYP: path.join(ROOT, 'scripts', 'node-gyp.mjs') },
  })
  if (status !== 0) throw new ScriptError('prebuildify failed')
  const missing = EXPECTED.filter((name) => !existsSync(path.join(FOLDER, name)))
  if (missing.length > 0) throw new ScriptError(`prebuildify did not make ${missing.join(', ')}`)
  for (const name of readdirSync(FOLDER).sort()) {
    const file = path.join(FOLDER, name)
    const size = formatBytes(statSync(file).size)
    const glibc = requiredGlibc(readFileSync(file))
    process.stdout.write(`${path.relative(ROOT, file)}  ${size}  glibc ${glibc ?? 'any'}\n`)
  }
  if (!existsSync(path.join(FOLDER, WITH_CUDA))) {
    const reason =
      'only a LibTorch with CUDA (`localformer libtorch install --flavor simulated`) makes it'
    process.stderr.write(`prebuild: without ${WITH_CUDA}; ${reason}\n`)
  }
  return 0
}

/** The newest version of glibc's symbols that a library names. */
function requiredGlibc(library: Buffer): string | undefined {
  let newest: string | undefined
  for (const [, version] of library.toString('latin1').matchAll(/\0GLIBC_(\d+(?:\.\d+)+)(?=\0)/g)) {
    if (version && (newest === undefined || isOlder(newest, version))) newest = version
  }
  return newest
}

if (isEntryPoint(import.meta.url)) await runScript('prebuild', main)

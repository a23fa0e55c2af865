// The Python that the benches set this package beside: torch, torchvision and timm of one version each,
// in a virtual environment in the package's cache. node dist/test/bench/peers.js; by hand, about 0.5 GB.
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { runScript, ScriptError } from '../../scripts/lib/script.js'
import { PEERS, whyNoPython } from '../helpers/simulated-python.js'

/** Without what they depend on: NVIDIA's libraries would be gigabytes, and are not used. */
const PEERS_ALONE = ['torch==2.11.0', 'torchvision==0.26.0', 'timm==1.0.31']
const NEEDED = [
  ...['numpy', 'pillow', 'pyyaml', 'safetensors', 'huggingface_hub', 'typing_extensions'],
  ...['sympy', 'networkx', 'jinja2', 'filelock', 'fsspec', 'setuptools'],
]

function call(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' })
  if (status === 0) return
  rmSync(PEERS, { recursive: true, force: true })
  throw new ScriptError(`${command} ${args.slice(0, 3).join(' ')} failed`, {
    cause: error,
    hint: 'Python 3.10 or newer with venv is needed; PYTHON names another than python3.',
  })
}

async function main(): Promise<number> {
  mkdirSync(path.dirname(PEERS), { recursive: true })
  call(process.env.PYTHON || 'python3', ['-m', 'venv', '--clear', PEERS])
  const python = path.join(PEERS, 'bin', 'python')
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-cache-dir']
  call(python, [...pip, ...NEEDED])
  call(python, [...pip, '--no-deps', ...PEERS_ALONE])
  process.env.PYTHON = python
  const reason = whyNoPython(['torch', 'torchvision', 'timm'])
  if (reason !== undefined) throw new ScriptError(reason)
  console.log(`torch, torchvision and timm are in ${PEERS}`)
  return 0
}

await runScript('bench:peers', main)

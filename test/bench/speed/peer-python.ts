// The Python that runs the peers: as it is, or, where it has torch's CUDA build without NVIDIA's libraries
// (`npm run bench:peers`), with the package's stand-ins in their place. Nothing is asked of a card.
import { spawnSync } from 'node:child_process'
import { MANIFEST } from '../../../lib/libtorch/manifest.js'
import { cardNamed } from '../../../lib/simulated/cards.js'
import { cardEnvironment, pythonName } from '../../helpers/simulated-python.js'

export type PeerPython =
  | { readonly command: string; readonly environment: NodeJS.ProcessEnv }
  /** Why there is none. */
  | { readonly reason: string }

const MODULES = ['torch', 'torchvision', 'timm', 'safetensors.torch', 'numpy', 'PIL']
const PROBE = `import ${MODULES.join(', ')}; print(torch.__version__)`

export function findPeerPython(): PeerPython {
  const command = pythonName()
  const plain = probe(command, {})
  if (plain.version === undefined && plain.isThere) {
    try {
      const environment = cardEnvironment(cardNamed('h100'))
      const { version } = probe(command, environment)
      if (version !== undefined) return checked(command, environment, version)
    } catch {
      // Without stand-ins it is what the plain attempt says.
    }
  }
  if (plain.version !== undefined) return checked(command, {}, plain.version)
  return { reason: `${command}: ${plain.error}; \`npm run bench:peers\` installs what is needed` }
}

function checked(command: string, environment: NodeJS.ProcessEnv, version: string): PeerPython {
  if (version.split('+')[0] === MANIFEST.version) return { command, environment }
  return { reason: `${command} has torch ${version}, not ${MANIFEST.version}` }
}

function probe(command: string, environment: NodeJS.ProcessEnv) {
  const { status, stdout, stderr, error } = spawnSync(command, ['-B', '-c', PROBE], {
    ...{ encoding: 'utf8', timeout: 120_000, env: { ...process.env, ...environment } },
  })
  return {
    isThere: error === undefined,
    version: status === 0 ? stdout.trim() : undefined,
    error: error?.message ?? (stderr.trim().split('\n').at(-1) || `ended with code ${status}`),
  }
}

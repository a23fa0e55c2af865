// Python's torch on a simulated card: NVIDIA's libraries are the package's stand-ins, opened first.
// in: a card, a program, its arguments -> out: the JSON that its last line is
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { cacheDirectory } from '../../lib/base/environment.js'
import { findAddon } from '../../lib/native/load.js'
import { type Card, cardNamed } from '../../lib/simulated/cards.js'
import { cardText, MADE_FOR, standIns } from '../../lib/simulated/stand-ins.js'
import { ROOT } from '../../scripts/lib/script.js'

/** Where `npm run bench:peers` puts torch, torchvision and timm. */
export const PEERS = path.join(cacheDirectory(), 'peers')

/** The programs of the cases. */
export const PROGRAMS = path.join(ROOT, 'test', 'bench', 'fidelity')

const TIMEOUT_MILLISECONDS = 600_000

/** `PYTHON`, else the one that `npm run bench:peers` made, else `python3`. */
export function pythonName(): string {
  const own = path.join(PEERS, 'bin', 'python')
  return process.env.PYTHON || (existsSync(own) ? own : 'python3')
}

/**
 * What a program needs in its environment to find a card that is not there.
 *
 * @throws {LocalformerError} `ERR_ADDON_LOAD` where a stand-in is not built.
 */
export function cardEnvironment(card: Card): NodeJS.ProcessEnv {
  return {
    LD_PRELOAD: standIns(findAddon()).join(':'),
    LOCALFORMER_SIMULATED_CARD: cardText(card),
  }
}

/** Python's figures, in bytes, as test/bench/fidelity/common.py prints them. */
export interface Figures {
  readonly torch: string
  readonly allocated: number
  readonly reserved: number
  readonly peakAllocated: number
  readonly peakReserved: number
  /** Of the whole card, as the driver counts it: the context too. */
  readonly used: number
  readonly [more: string]: number | string
}

/** Runs one of the programs on a card; throws with what Python said where it fails. */
export function runOnCard(card: string, program: string, args: readonly string[]): Figures {
  return lastLine(card, path.join(PROGRAMS, program), args) as Figures
}

/** The same; undefined where the program ran out of the card's memory. */
export function runWhereItFits(
  card: string,
  program: string,
  args: readonly string[],
): Figures | undefined {
  try {
    return runOnCard(card, program, args)
  } catch (error) {
    if (!String(error).includes('OutOfMemoryError: CUDA out of memory')) throw error
    return undefined
  }
}

/** Runs PyTorch's tools for memory (test/fixtures/python/memory_tools.py), where there is a simulated card. */
export function memoryTool(work: 'views' | 'record' | 'summary', file: string) {
  const program = path.join(ROOT, 'test', 'fixtures', 'python', 'memory_tools.py')
  return lastLine('h100', program, [work, file]) as Readonly<Record<string, never>>
}

function lastLine(card: string, program: string, args: readonly string[]): unknown {
  const { status, stdout, stderr, error } = python(card, [program, ...args])
  const last = stdout?.trim().split('\n').at(-1) ?? ''
  if (status !== 0 || !last.startsWith('{')) {
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
  }
  return JSON.parse(last)
}

/** Why there is no Python that can run the programs, or undefined where there is one. */
export function whyNoPython(modules: readonly string[] = ['torch']): string | undefined {
  const script = `import ${modules.join(', ')}; print(torch.__version__, torch.version.cuda)`
  let probe: ReturnType<typeof python>
  try {
    probe = python('h100', ['-c', script])
  } catch (error) {
    return (error as Error).message
  }
  if (probe.status !== 0) {
    const reason = probe.error?.message ?? probe.stderr.trim().split('\n').at(-1)
    return `${pythonName()} lacks ${modules.join(', ')}: ${reason}; \`npm run bench:peers\` installs them`
  }
  const [version = '', cuda = ''] = probe.stdout.trim().split(' ')
  const found = `${version.split('+')[0]} cu${cuda.split('.')[0]}`
  return found === MADE_FOR ? undefined : `${pythonName()} has torch ${found}, not ${MADE_FOR}`
}

function python(card: string, args: readonly string[]) {
  return spawnSync(pythonName(), ['-B', ...args], {
    ...{ encoding: 'utf8', timeout: TIMEOUT_MILLISECONDS, cwd: PROGRAMS, maxBuffer: 2 ** 28 },
    env: { ...process.env, ...cardEnvironment(cardNamed(card)) },
  })
}

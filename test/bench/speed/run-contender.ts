// One contender in a fresh process of its own -> its figures, or why there are none.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeError, ROOT } from '../../../scripts/lib/script.js'
import { type RunOptions, runProcess } from '../../../scripts/lib/test-process.js'
import type { Ended } from '../../../scripts/lib/test-results.js'
import { answerSchema, type Contender, isOwn, type Request } from './contender.js'
import type { Outcome } from './in-turn.js'
import type { PeerPython } from './peer-python.js'

/** glibc's malloc gives no page back that it may need again; PyTorch asks for large ones, as our arena does. */
const KEEPS_PAGES = {
  MALLOC_MMAP_THRESHOLD_: `${4 * 2 ** 30}`,
  MALLOC_TRIM_THRESHOLD_: `${32 * 2 ** 30}`,
  MALLOC_TOP_PAD_: `${256 * 2 ** 20}`,
  THP_MEM_ALLOC_ENABLE: '1',
}

/** What torch.compile has compiled is kept nowhere: the first step's time is that of a fresh process. */
const COMPILES_ANEW = { TORCHINDUCTOR_FORCE_DISABLE_CACHES: '1' }

export interface Surroundings {
  /** Threads of an operation, of every contender alike. */
  readonly threads: number
  /** What a process may take. */
  readonly limitSeconds: number
  /** Folder for what the processes read and answer. */
  readonly folder: string
  readonly python: PeerPython
  /** Folder of CIFAR-10; undefined: generated images. */
  readonly cifar10: string | undefined
}

export async function runContender(
  { shape, work }: Contender,
  { threads, limitSeconds, folder, python, cifar10 }: Surroundings,
): Promise<Outcome> {
  if (!isOwn(work) && 'reason' in python) return { status: 'skipped', reason: python.reason }
  try {
    const inputs = path.join(folder, `${shape.imageSize}px-${shape.batchSize}`)
    const answer = path.join(folder, 'answer.json')
    const request: Request = { ...shape, ...work, inputs, answer, cifar10 }
    const env = { ...process.env, OMP_NUM_THREADS: `${threads}` }
    const options: RunOptions = { cwd: ROOT, env, timeoutSeconds: limitSeconds }
    if (!existsSync(inputs)) {
      const failure = await makeInputs(request, options)
      if (failure !== undefined) return { status: 'failed', reason: failure }
    }
    rmSync(answer, { force: true })
    const text = JSON.stringify(request)
    if (isOwn(work)) return outcomeOf(await ownProgram(work.program, text, options), answer)
    const program = path.join(ROOT, 'test', 'bench', 'speed', 'peers', work.program)
    const peer = python as Exclude<PeerPython, { reason: string }>
    const ended = await runProcess(peer.command, ['-B', program, text], {
      ...{ ...options, cwd: folder },
      env: {
        ...{ ...env, ...peer.environment, ...COMPILES_ANEW, TORCHINDUCTOR_CACHE_DIR: folder },
        ...(work.keepsPages ? KEEPS_PAGES : {}),
      },
    })
    return outcomeOf(ended, answer)
  } catch (error) {
    return { status: 'failed', reason: describeError(error) }
  }
}

/** The same files for every contender of a shape, made once; says why where they could not be. */
async function makeInputs(request: Request, options: RunOptions): Promise<string | undefined> {
  await mkdir(request.inputs)
  const ended = await ownProgram('own-inputs', JSON.stringify(request), options)
  if (ended.code === 0) return undefined
  rmSync(request.inputs, { recursive: true })
  return whyEnded(ended)
}

function ownProgram(name: string, request: string, options: RunOptions): Promise<Ended> {
  const program = path.join(path.dirname(fileURLToPath(import.meta.url)), `${name}.js`)
  return runProcess(process.execPath, [program, request], options)
}

/** What a process that has ended left behind. */
export function outcomeOf(ended: Ended, answer: string): Outcome {
  if (ended.code !== 0) return { status: 'failed', reason: whyEnded(ended) }
  if (!existsSync(answer)) return { status: 'failed', reason: 'ended without an answer' }
  const { success, data, error } = answerSchema.safeParse(readJson(answer))
  if (!success) {
    const [problem] = error.issues
    const reason = `answered what is not understood: ${problem?.path.join('.')} ${problem?.message}`
    return { status: 'failed', reason }
  }
  if ('skipped' in data) return { status: 'skipped', reason: data.skipped }
  return { status: 'ok', figures: data }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

function whyEnded({ code, signal, timedOutAfter, output }: Ended): string {
  if (timedOutAfter !== undefined) return `not over within ${timedOutAfter} s (\`--limit\`)`
  if (signal !== null) return `ended by ${signal}`
  const last = output.trim().split('\n').at(-1)?.trim()
  return last || `ended with code ${code}`
}

// Processes and workers that end in the middle of a step on the device: with the right code, without a
// crash, and at all.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Finding, type ItemRequest, judged } from './item.js'

/** How a process ends, and how that has to look. */
const WAYS = {
  exit: { title: 'process.exit(7)', code: 7, signal: null, isSilent: true },
  terminate: { title: 'worker.terminate()', code: 0, signal: null, isSilent: true },
  interrupt: { title: 'SIGINT', code: null, signal: 'SIGINT', isSilent: true },
  throw: { title: 'an uncaught exception', code: 1, signal: null, isSilent: false },
} as const

export type Way = keyof typeof WAYS

/** Shares of a step after which it ends. */
const SHARES = [0.1, 0.6]
const LIMIT_SECONDS = 40

export interface Exit {
  readonly way: Way
  readonly share: number
  readonly code: number | null
  readonly signal: string | null
  readonly isLate: boolean
  /** Was the step still going on? */
  readonly isWithin: boolean
  readonly stderr: string
}

export async function exits(request: ItemRequest): Promise<Finding> {
  const ended: Exit[] = []
  for (const way of Object.keys(WAYS) as Way[]) {
    for (const share of request.quick ? SHARES.slice(0, 1) : SHARES) {
      ended.push(await endOf(request, way, share))
    }
  }
  const within = ended.filter(({ isWithin }) => isWithin).length
  const summary =
    `${Object.values(WAYS)
      .map(({ title }) => title)
      .join(', ')}: ` + `${ended.length} ends as they have to be, ${within} within a step`
  return judged(ended.flatMap(problemsOf), summary, { ended })
}

export function problemsOf({ way, code, signal, isLate, stderr }: Exit): string[] {
  const wanted = WAYS[way]
  const last = stderr.trim().split('\n').at(-1)
  const words = last ? ` (${last})` : ''
  if (isLate) return [`${wanted.title}: does not end within ${LIMIT_SECONDS} s`]
  if (code !== wanted.code || signal !== wanted.signal) {
    return [`${wanted.title}: ${signal === null ? `code ${code}` : `ended by ${signal}`}${words}`]
  }
  return wanted.isSilent && last ? [`${wanted.title}: complains${words}`] : []
}

function endOf(request: ItemRequest, way: Way, share: number): Promise<Exit> {
  const script = fileURLToPath(new URL('./exit-child.js', import.meta.url))
  const args = [script, way, `${share}`, request.device, request.quick ? 'quick' : 'whole']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr, isLate] = ['', '', false]
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = `${stderr}${text}`.slice(-2000)
  })
  const timer = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, LIMIT_SECONDS * 1000)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({
        way,
        share,
        code,
        signal,
        isLate,
        isWithin: stdout.includes('in the step'),
        stderr,
      })
    })
  })
}

// The probe in a child process (probe.ts), which may crash -> what it found, and how far it came.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ProbeLine, ProbeResult, ProbeStage } from './probe.js'

/** How the child process ended, with what it had printed until then. */
export interface ProbeRun {
  readonly result: ProbeResult
  /** The stage at which it ended without a word; undefined where it ended in order. */
  readonly diedIn: ProbeStage | undefined
  /** E.g. `ended by SIGSEGV`. */
  readonly how: string
}

/** Runs it, and ends it where it takes longer. */
export async function runProbe(timeoutSeconds: number): Promise<ProbeRun> {
  const script = fileURLToPath(new URL('./probe.js', import.meta.url))
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'pipe'] })
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    child.kill('SIGKILL')
  }, timeoutSeconds * 1000)
  const output: Buffer[] = []
  let complaint = ''
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = `${complaint}${chunk}`.slice(-500)
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(timer)
  const lastLine = complaint.trim().split('\n').at(-1)
  const how = timedOut
    ? `gave no answer within ${timeoutSeconds} s`
    : `${signal === null ? `ended with code ${code}` : `ended by ${signal}`}${lastLine ? ` (${lastLine})` : ''}`
  return { ...readProbe(Buffer.concat(output).toString('utf8')), how }
}

/** Lines that are no JSON are what a library printed. */
export function readProbe(output: string): Pick<ProbeRun, 'result' | 'diedIn'> {
  const result: Record<string, unknown> = {}
  let diedIn: ProbeStage | undefined
  for (const text of output.split('\n')) {
    if (!text.startsWith('{"stage"')) continue
    const line = JSON.parse(text) as ProbeLine
    if ('begins' in line) diedIn = line.stage
    else {
      result[line.stage] = line.result
      diedIn = undefined
    }
  }
  return { result: result as ProbeResult, diedIn }
}

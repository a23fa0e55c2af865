// Runs one item in a process of its own, for a limited time, with all that it starts.
// in: an ItemRequest -> out: what it found, or how it ended; never throws but for the signal.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Ended, ItemMessage, ItemRequest, Outcome } from './item.js'

export interface RunItemOptions {
  readonly limitSeconds: number
  readonly signal?: AbortSignal | undefined
  /** What the process runs; default: `item-child.js`. */
  readonly script?: string
}

const CHILD = fileURLToPath(new URL('./item-child.js', import.meta.url))
/** Of what it says on standard error the end is kept. */
const KEPT_CHARACTERS = 500

export function runItem(request: ItemRequest, options: RunItemOptions): Promise<Ended> {
  const { limitSeconds, signal, script = CHILD } = options
  signal?.throwIfAborted()
  // A group of its own, so that what it has started ends with it.
  const child = fork(script, {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const state = { isLate: false, complaint: '' }
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    state.complaint = `${state.complaint}${text}`.slice(-KEPT_CHARACTERS)
  })
  const timer = setTimeout(() => {
    state.isLate = true
    killGroup(child)
  }, limitSeconds * 1000)
  const abort = () => killGroup(child)
  signal?.addEventListener('abort', abort)
  return new Promise<Ended>((resolve, reject) => {
    let answer: ItemMessage | undefined
    child.on('message', (message: ItemMessage) => {
      answer = message
    })
    child.on('error', reject)
    child.on('exit', (code, killedBy) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      // What it may have left behind.
      killGroup(child)
      if (signal?.aborted) return reject(signal.reason)
      const how = state.isLate
        ? `gave no answer within ${Math.round(limitSeconds)} s and was ended`
        : killedBy === null
          ? `ended with code ${code}`
          : `was ended by ${killedBy}`
      const isWell = code === 0 && !state.isLate
      if (answer !== undefined && isWell) return resolve(answer)
      const last = state.complaint.trim().split('\n').at(-1)
      const after = answer === undefined ? '' : ', after its answer'
      resolve({ type: 'died', how: `${how}${after}${last ? ` (${last})` : ''}` })
    })
    child.send(request, (error) => {
      // One that is gone before it was asked anything is told by its end.
      if (error) state.complaint ||= error.message
    })
  })
}

/** As a row tells it. */
export function outcomeOf(ended: Ended): Outcome {
  if (ended.type === 'finding') return ended.finding
  if (ended.type === 'died') {
    return { status: 'fail', summary: `its process ${ended.how}`, details: null }
  }
  const code = ended.code === null ? '' : ` [${ended.code}]`
  return { status: 'fail', summary: `${ended.message}${code}`, details: { ...ended } }
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}

// Runs a cell in a fresh process and passes its events on.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CellMessage, CellResult, CellRunner } from './cell-request.js'

/** When this process ends first, so does the other; the signal asks it to stop between two steps. */
export const runInChild: CellRunner = (request, { signal, onEvent }) => {
  signal?.throwIfAborted()
  const child = fork(fileURLToPath(new URL('./cell-child.js', import.meta.url)), {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const stop = () => child.send('stop')
  signal?.addEventListener('abort', stop)
  return new Promise<CellResult>((resolve, reject) => {
    let result: CellResult | undefined
    child.on('message', (message: CellMessage) => {
      if (message.type === 'event') onEvent?.(message.event)
      else if (message.type === 'result') result = { status: 'ok', evaluation: message.evaluation }
      else result = { status: 'failed', code: message.code, message: message.message }
    })
    child.on('error', reject)
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', stop)
      if (signal?.aborted) return reject(signal.reason)
      const how = killedBy === null ? `exit code ${code}` : `signal ${killedBy}`
      resolve(result ?? { status: 'failed', code: null, message: `its process ended with ${how}` })
    })
    child.send(request)
  })
}

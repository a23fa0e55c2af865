// The fresh process in which one cell is trained and evaluated.
// in: a CellRequest over IPC, and 'stop' -> out: events as they happen, then a result or an error.
import { LocalformerError } from '../base/errors.js'
import { openDataset } from '../datasets/open.js'
import * as memory from '../device/memory.js'
import { loadRun } from '../run-folder/load-run.js'
import { createRun } from '../runs/create-run.js'
import { evaluateRun, type RunEvaluation } from '../runs/evaluate-run.js'
import { resumeRun } from '../runs/resume-run.js'
import type { CellMessage, CellRequest } from './cell-request.js'

const controller = new AbortController()

async function work(request: CellRequest): Promise<RunEvaluation> {
  const { memoryLimitBytes, config } = request
  if (memoryLimitBytes !== undefined) memory.setLimit(memoryLimitBytes, config.device ?? 'auto')
  if (request.work !== 'evaluate') await train(request)
  return evaluateCell(request)
}

async function train({ directory, work, config }: CellRequest): Promise<void> {
  const { signal } = controller
  const device = config.device ?? 'auto'
  await using run = await (work === 'resume'
    ? resumeRun(directory, { device, signal })
    : createRun(config, { directory, overwrite: true, signal }))
  for await (const event of run.events()) {
    // The state of a checkpoint is of no use elsewhere.
    if (event.type !== 'checkpoint') send({ type: 'event', event })
  }
}

async function evaluateCell({ directory, config, testLimit }: CellRequest): Promise<RunEvaluation> {
  const { signal } = controller
  const run = await loadRun(directory, config.device)
  await using _ = run.model
  const { imageSize } = run.model.config
  const dataDir = config.dataset?.dataDir
  const data = await openDataset(run.dataset, { dataDir, imageFolder: { imageSize } })
  const limit = testLimit === null ? {} : { limit: testLimit }
  return evaluateRun(run, data, { ...limit, signal })
}

function send(message: CellMessage): void {
  process.send?.(message)
}

// Ctrl-C on a terminal reaches every process of it; the one that asked says when to stop.
process.on('SIGINT', () => undefined)
process.on('disconnect', () => process.exit(1))
process.on('message', (message: CellRequest | 'stop') => {
  if (message === 'stop') return controller.abort()
  work(message)
    .then((evaluation) => send({ type: 'result', evaluation }))
    .catch((error: unknown) => {
      const code = error instanceof LocalformerError ? error.code : 'ERR_TORCH'
      const text = error instanceof Error ? error.message : String(error)
      send({ type: 'error', code, message: text })
    })
    .finally(() => {
      process.removeAllListeners('disconnect')
      process.disconnect()
    })
})

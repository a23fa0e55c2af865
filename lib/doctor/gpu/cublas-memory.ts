// A card that is full when cuBLAS is to make a handle: the fraction of a process does not limit what
// libraries take themselves, so that the card is really filled, with features. A handle belongs to a
// thread; a worker's is made last.
import { Worker } from 'node:worker_threads'
import { LocalformerError } from '../../base/errors.js'
import * as memory from '../../device/memory.js'
import { LocalTrainer } from '../../local/local-trainer.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import type { Features } from '../../native/features.js'
import { type Finding, type ItemRequest, judged } from './item.js'
import { batchOf, openDevice } from './subject.js'

const NETWORK = { variant: 'micro', imageSize: 64 } as const
/** Images at a time at first: 400 MB of features. */
const MOST = 8192

/** How the worker's network was made. */
export interface WorkerOutcome {
  readonly code: string | null
  readonly message: string
}

export async function cublasMemory(request: ItemRequest): Promise<Finding> {
  const { name } = openDevice(request.device)
  await using model = await SwinTransformer.create({ ...NETWORK, device: name as 'cpu' })
  await using trainer = await LocalTrainer.create(model, { modules: 2 })
  await trainer.step(batchOf(2), { learningRate: 1e-4 })
  const resident = memory.allocated(name)
  const held = await fill(trainer)
  const full = memory.reserved(name)
  const refused = await inWorker(request.device)
  for (const features of held) features.dispose()
  memory.emptyCache(name)
  const back = memory.allocated(name) - resident
  const made = await inWorker(request.device)
  await trainer.step(batchOf(2), { learningRate: 1e-4 })
  const complaints = [
    ...(refused.code === 'ERR_OUT_OF_MEMORY'
      ? []
      : [`on a full card: ${refused.code ?? 'no code'}: ${refused.message}`]),
    ...(back === 0 ? [] : [`${back} bytes are not given back`]),
    ...(made.code === 'ok' ? [] : [`on an empty card: ${made.code ?? 'no code'}: ${made.message}`]),
  ]
  const summary = `on a full card: ${refused.message}; then a network and a step work`
  return judged(complaints, summary, { filledBytes: full, features: held.length, refused, made })
}

/** Takes what is left of the card, in ever smaller pieces. */
async function fill(trainer: LocalTrainer): Promise<Features[]> {
  const held: Features[] = []
  for (let count = MOST; count >= 1; ) {
    const batch = batchOf(count, 8)
    try {
      while (true) held.push(await trainer.features(batch))
    } catch (error) {
      if (!(error instanceof LocalformerError) || error.code !== 'ERR_OUT_OF_MEMORY') throw error
      count = Math.floor(count / 4)
    }
  }
  return held
}

async function inWorker(device: string): Promise<WorkerOutcome> {
  const worker = new Worker(new URL('./cublas-worker.js', import.meta.url), { workerData: device })
  return new Promise((resolve) => {
    let outcome: WorkerOutcome | undefined
    worker.on('message', (message: WorkerOutcome) => {
      outcome = message
    })
    worker.on('error', (error: Error) => {
      outcome ??= { code: null, message: error.message }
    })
    worker.on('exit', (code) => {
      resolve(outcome ?? { code: null, message: `the worker ended with code ${code}` })
    })
  })
}

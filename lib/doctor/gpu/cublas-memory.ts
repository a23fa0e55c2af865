// A card that is full when cuBLAS is to make a handle: the fraction of a process does not limit what
// libraries take themselves, so that the card is really filled, with features. A handle belongs to a
// thread; a worker's is made last.
import { Worker } from 'node:worker_threads'
import { LocalformerError } from '../../base/errors.js'
import * as memory from '../../device/memory.js'
import { LocalTrainer } from '../../local/local-trainer.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import type { Features } from '../../native/features.js'
import { loadTorch } from '../../native/load.js'
import { type Finding, type ItemRequest, judged } from './item.js'
import { batchOf, openDevice } from './subject.js'

const NETWORK = { variant: 'micro', imageSize: 224 } as const
/** Images whose patches are embedded, 0.4 MB each: from many at a time to few. */
const COUNTS = [1024, 128, 16, 2]
/** CUBLAS_STATUS_ALLOC_FAILED */
const ALLOC_FAILED = 3

/** How the worker's network was made. */
export interface WorkerOutcome {
  readonly code: string | null
  readonly message: string
}

export async function cublasMemory(request: ItemRequest): Promise<Finding> {
  const { name, isSimulated } = openDevice(request.device)
  await using model = await SwinTransformer.create({ ...NETWORK, device: name as 'cpu' })
  // The patch embedding is a module of its own.
  await using trainer = await LocalTrainer.create(model, { method: 'greedy', split: 'blocks' })
  const step = () => trainer.step(batchOf(2), { learningRate: 1e-4 })
  await step()
  memory.emptyCache(name)
  const refused: Record<string, WorkerOutcome> = {}
  // cuBLAS's stand-in takes no memory itself: it is told to fail.
  if (isSimulated) {
    loadTorch().failSimulatedCall('cublasCreate_v2', 0, ALLOC_FAILED)
    refused['without a handle'] = await inWorker(request.device)
  }
  const resident = memory.allocated(name)
  const held = await fill(trainer)
  const filledBytes = memory.allocated(name)
  refused['on a full card'] = await inWorker(request.device)
  for (const features of held) features.dispose()
  memory.emptyCache(name)
  const keptBytes = memory.allocated(name) - resident
  const made = await inWorker(request.device)
  await step()
  const complaints = [
    ...Object.entries(refused).flatMap(([where, { code, message }]) =>
      code === 'ERR_OUT_OF_MEMORY' ? [] : [`${where}: ${code ?? 'no code'}: ${message}`],
    ),
    // A handle that was made has its workspace, and is kept for the next thread.
    ...(keptBytes <= memory.workspaces(name) ? [] : [`${keptBytes} bytes are not given back`]),
    ...(made.code === 'ok' ? [] : [`on an empty card: ${made.code ?? 'no code'}: ${made.message}`]),
  ]
  const told = Object.entries(refused).map(([where, { message }]) => `${where}: ${message}`)
  const summary = `${told.join('; ')}; then a network and a step work`
  return judged(complaints, summary, { filledBytes, keptBytes, refused, made })
}

/** Takes what is left of the card, in ever smaller pieces, which are made on it. */
async function fill(trainer: LocalTrainer): Promise<Features[]> {
  const held: Features[] = []
  const inputs: Features[] = []
  for (const count of COUNTS) inputs.push(await trainer.features(batchOf(count)))
  for (const input of inputs) {
    try {
      while (true) held.push((await trainer.modules[0]?.forward(input)) as Features)
    } catch (error) {
      if (!(error instanceof LocalformerError) || error.code !== 'ERR_OUT_OF_MEMORY') throw error
    }
  }
  return [...inputs, ...held]
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

// The worker of `cublas-memory`: makes a network on the device, and with it handles of its own.
import { parentPort, workerData } from 'node:worker_threads'
import { LocalformerError } from '../../base/errors.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import type { WorkerOutcome } from './cublas-memory.js'
import { openDevice } from './subject.js'

async function make(): Promise<WorkerOutcome> {
  try {
    const { name } = openDevice(workerData as string)
    const network = { variant: 'micro', imageSize: 64 } as const
    await using _ = await SwinTransformer.create({ ...network, device: name as 'cpu' })
    return { code: 'ok', message: 'made' }
  } catch (error) {
    const code = error instanceof LocalformerError ? error.code : null
    return { code, message: error instanceof Error ? error.message : String(error) }
  }
}

parentPort?.postMessage(await make())

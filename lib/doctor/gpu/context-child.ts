// The other process of `context`: makes a context, a network and a step, and waits after each.
// in: an ItemRequest, then a word for every stage -> out: a ContextMessage for every stage.
import { once } from 'node:events'
import { memGetInfo } from '../../device/cuda.js'
import * as memory from '../../device/memory.js'
import { parseRunSpec } from '../../local/run-spec.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import { createTrainer } from '../../local/trainer-of-spec.js'
import type { ContextMessage } from './context.js'
import type { ItemRequest } from './item.js'
import { batchOf, openDevice, subjectOf } from './subject.js'

async function run(request: ItemRequest): Promise<void> {
  const { name, index } = openDevice(request.device)
  const tell = async (stage: ContextMessage['stage']) => {
    const { freeBytes, totalBytes } = memGetInfo(index)
    const message: ContextMessage = {
      ...{ stage, usedBytes: totalBytes - freeBytes },
      reservedBytes: memory.reserved(name),
      workspaceBytes: memory.workspaces(name),
    }
    const answered = once(process, 'message')
    process.send?.(message)
    await answered
  }
  await tell('context')
  const { network, batchSize } = subjectOf(request)
  await using model = await SwinTransformer.create({ ...network, device: `cuda:${index}` })
  await tell('network')
  await using trainer = await createTrainer(model, parseRunSpec('paper:4,decoder=conv'))
  await trainer.step(batchOf(batchSize), { learningRate: 1e-4 })
  await tell('step')
}

process.once('message', (request: ItemRequest) => {
  run(request).finally(() => process.disconnect())
})

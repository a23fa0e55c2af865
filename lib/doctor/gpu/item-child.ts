// The process of one item: in: an ItemRequest over IPC -> out: what it found, or an error.
import { LocalformerError } from '../../base/errors.js'
import type { ItemMessage, ItemRequest } from './item.js'
import { WORKS } from './works.js'

async function work(request: ItemRequest): Promise<ItemMessage> {
  try {
    const task = WORKS[request.work]
    if (task === undefined) throw new Error(`There is no item ${JSON.stringify(request.work)}`)
    return { type: 'finding', finding: await task(request) }
  } catch (error) {
    const known = error instanceof LocalformerError ? error : undefined
    return {
      type: 'error',
      code: known?.code ?? null,
      message: error instanceof Error ? error.message : String(error),
      hint: known?.hint ?? null,
    }
  }
}

// Nobody waits for the answer any more.
const abandoned = () => process.exit(1)

process.on('disconnect', abandoned)
process.once('message', (request: ItemRequest) => {
  work(request).then((message) => {
    process.send?.(message, () => {
      process.off('disconnect', abandoned)
      process.disconnect()
    })
  })
})

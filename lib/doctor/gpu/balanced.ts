// Where a balanced split cuts in a process that has done nothing yet, and once it has trained.
import { parseRunSpec } from '../../local/run-spec.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import { createTrainer } from '../../local/trainer-of-spec.js'
import { type Finding, fail, type ItemRequest, ok } from './item.js'
import { batchesOf, openDevice, subjectOf } from './subject.js'

export async function balanced(request: ItemRequest): Promise<Finding> {
  const { name } = openDevice(request.device)
  const { network, batchSize } = subjectOf(request)
  const cut = async () => {
    await using model = await SwinTransformer.create({ ...network, device: name as 'cpu' })
    const spec = parseRunSpec(request.spec ?? 'paper:4,split=balanced')
    await using trainer = await createTrainer(model, spec, {}, batchSize)
    const cuts = [...trainer.cuts]
    for (const batch of batchesOf(2, batchSize)) await trainer.step(batch, { learningRate: 1e-4 })
    return cuts.join('+')
  }
  const [cold, warm] = [await cut(), await cut()]
  const details = { spec: request.spec, cold, warm }
  return cold === warm ? ok(`behind ${cold}`, details) : fail(`cold ${cold}, warm ${warm}`, details)
}

// The same five steps twice, from the same seed: which tensors differ in any bit.
import { parseRunSpec } from '../../local/run-spec.js'
import { SwinTransformer, type Tensors } from '../../local/swin-transformer.js'
import { createTrainer } from '../../local/trainer-of-spec.js'
import { type Finding, fail, type ItemRequest, ok } from './item.js'
import { batchesOf, openDevice, subjectOf } from './subject.js'

const STEPS = 5
/** Names that are listed in the row; the details have all. */
const SHOWN = 3

export async function repeats(request: ItemRequest): Promise<Finding> {
  const { name } = openDevice(request.device)
  const first = await tensorsAfter(request, name)
  const second = await tensorsAfter(request, name)
  const different = differing(first, second)
  const count = Object.keys(first).length
  const details = { spec: request.spec, steps: STEPS, tensors: count, different }
  if (different.length === 0) return ok(`${count} tensors the same in every bit`, details)
  const more = different.length > SHOWN ? ', ...' : ''
  const names = `${different.slice(0, SHOWN).join(', ')}${more}`
  return fail(`${different.length} of ${count} tensors differ: ${names}`, details)
}

/** Weights of network, heads and decoders, and the optimizers' state. */
async function tensorsAfter(request: ItemRequest, device: string): Promise<Tensors> {
  const { network, batchSize } = subjectOf(request)
  await using model = await SwinTransformer.create({ ...network, device: device as 'cpu' })
  await using trainer = await createTrainer(model, parseRunSpec(request.spec ?? 'paper:4'))
  for (const batch of batchesOf(STEPS, batchSize)) await trainer.step(batch, { learningRate: 1e-3 })
  const { tensors } = await trainer.readState()
  return { ...(await model.readParameters()), ...(await trainer.readAuxiliary()), ...tensors }
}

/** Names of the tensors that differ in any bit, or that only one of both has. */
export function differing(first: Tensors, second: Tensors): string[] {
  const names = new Set([...Object.keys(first), ...Object.keys(second)])
  return [...names].filter((name) => {
    const [a, b] = [bytesOf(first, name), bytesOf(second, name)]
    return a === undefined || b === undefined || !a.equals(b)
  })
}

function bytesOf(tensors: Tensors, name: string): Buffer | undefined {
  const data = tensors[name]?.data
  return data && Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

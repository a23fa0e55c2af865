// What ranks that share an evaluation or predictions have to have in common, told before the first image.
import { createHash } from 'node:crypto'
import { agree } from '../distributed/group.js'
import type { SwinTransformer, Tensors } from '../local/swin-transformer.js'
import { Trainer } from '../local/trainer.js'

/**
 * Have all ranks the same network with the same weights, and the same work before them?
 *
 * @param facts What the work is, as plain values.
 * @throws {LocalformerError} `ERR_CONFIG` that says what differs.
 */
export async function agreeOnShares(
  subject: string,
  network: SwinTransformer | Trainer,
  facts: object,
): Promise<void> {
  const [model, spec] = network instanceof Trainer ? [network.model, network.spec] : [network, null]
  // Weights decide, not what they were drawn from.
  const { seed: _, ...config } = model.config
  await agree(subject, {
    run: spec,
    model: config,
    weightsSha256: await weightsOf(network),
    ...facts,
  })
}

async function weightsOf(network: SwinTransformer | Trainer): Promise<string> {
  const hash = createHash('sha256')
  if (network instanceof Trainer) {
    add(hash, await network.model.readParameters())
    add(hash, await network.readAuxiliary())
    // What it is evaluated with, where one is kept.
    add(hash, await network.readAverage())
  } else {
    add(hash, await network.readParameters())
  }
  return hash.digest('hex')
}

function add(hash: ReturnType<typeof createHash>, tensors: Tensors): void {
  for (const [name, { data }] of Object.entries(tensors)) {
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
}

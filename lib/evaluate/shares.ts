// What ranks that share an evaluation or predictions have to have in common, told before the first image.
import { agree } from '../distributed/group.js'
import { digestOf } from '../local/digest.js'
import type { SwinTransformer } from '../local/swin-transformer.js'
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
  if (network instanceof Trainer) await network.agreeOnProducts()
}

async function weightsOf(network: SwinTransformer | Trainer): Promise<string> {
  if (!(network instanceof Trainer)) return digestOf([await network.readParameters()])
  // An average is what it is evaluated with, where one is kept.
  const { model } = network
  return digestOf([
    await model.readParameters(),
    await network.readAuxiliary(),
    await network.readAverage(),
  ])
}

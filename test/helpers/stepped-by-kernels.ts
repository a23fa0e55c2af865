// A step of a small network whose sizes fill no vector: windows of 49 tokens, heads of 5 and 20.
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../lib/local/options.js'
import {
  type SwinOptions,
  SwinTransformer,
  type Tensors,
} from '../../lib/local/swin-transformer.js'
import { floatBatch } from './tiny.js'

export const ODD = {
  imageSize: 28,
  patchSize: 2,
  windowSize: 7,
  embedDim: 10,
  depths: [2, 1],
  heads: [2, 1],
  mlpRatio: 3.3,
  classes: 10,
  device: 'cpu',
  dropPath: 0.2,
} as const satisfies SwinOptions

/** Samples of ODD, maps of 14 x 14, of which backward passes take parts, the last one a rest. */
export const IN_PARTS = { float32: 13, bfloat16: 45 } as const

/** Weights after a step of SGD, so that they show the gradients as they are. */
export async function steppedByKernels(
  options: LocalOptions,
  network: SwinOptions = ODD,
  batch = 5,
): Promise<Tensors> {
  await using model = await SwinTransformer.create(network)
  await using trainer = await LocalTrainer.create(model, {
    ...{ modules: 2, optimizer: 'sgd', momentum: 0, weightDecay: 0, ...options },
  })
  await trainer.step(floatBatch(batch, 0, network.imageSize), { learningRate: 1 })
  return { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
}

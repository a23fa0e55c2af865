// Highest bytes of a training step of a network that is cut in some way.
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../lib/local/options.js'
import { unitNames } from '../../lib/local/splits.js'
import { type SwinOptions, SwinTransformer } from '../../lib/local/swin-transformer.js'
import { byteBatch } from './tiny.js'

export interface StepPeak {
  readonly bytes: number
  /** Names of the units behind which it was cut. */
  readonly cuts: readonly string[]
}

export async function stepPeak(
  network: SwinOptions,
  options: LocalOptions,
  batchSize: number,
): Promise<StepPeak> {
  await using model = await SwinTransformer.create({ ...network, device: 'cpu' })
  const trainer = await LocalTrainer.create(model, { ...options, balanceFor: batchSize })
  const batch = byteBatch(batchSize, 0, model.config.imageSize)
  const { peakAllocatedBytes } = await trainer.step(batch)
  return { bytes: peakAllocatedBytes, cuts: trainer.cuts }
}

/** Every way to cut a network into so many modules, by names of units. */
export function everyCut(depths: readonly number[], modules: number): string[][] {
  const names = unitNames(depths).slice(0, -1)
  const choose = (from: number, left: number): string[][] =>
    left === 0
      ? [[]]
      : names
          .slice(from)
          .flatMap((name, k) => choose(from + k + 1, left - 1).map((rest) => [name, ...rest]))
  return choose(0, modules - 1)
}

// How long a cell will take, by the step time that is measured here and now.
// in: a plan and a data set -> out: seconds a run, by two measured steps of each in a fresh process.
import type { Dataset } from '../datasets/dataset.js'
import type { DeviceName } from '../device/device.js'
import { firstImages } from '../evaluate/evaluate.js'
import type { Variant } from '../local/swin-transformer.js'
import { type AccuracyPlan, imageSizeOf } from './accuracy.js'
import { type CompareOptions, compare } from './compare.js'

export interface TimeEstimate {
  /** Training images per second. */
  readonly imagesPerSecond: number
  /** Of one training with its evaluation. */
  readonly seconds: number
}

/** Forward alone, against forward and backward. */
const EVALUATION_SHARE = 1 / 3

/**
 * Expected times by run spec; a run that is out of memory has none. Without augmentation, which is
 * prepared beside the steps.
 *
 * @throws {LocalformerError} as {@link compare}
 */
export async function estimateTimes(
  { settings }: AccuracyPlan,
  runs: readonly string[],
  data: Dataset,
  options: { readonly device: DeviceName } & Pick<CompareOptions, 'signal' | 'onProgress'>,
): Promise<ReadonlyMap<string, TimeEstimate>> {
  const { device, ...rest } = options
  const { batchSize, epochs, trainLimit, testLimit, variant } = settings
  const train = firstImages(data.train, trainLimit ?? data.train.count)
  const { rows } = await compare({
    ...{ runs, batchSize, steps: 2, warmup: 1 },
    data: { ...data, train },
    model: {
      ...{ device, variant: variant as Variant },
      imageSize: imageSizeOf(data.name, settings),
    },
    ...rest,
  })
  const steps = epochs * Math.floor(train.count / batchSize)
  const tested = Math.min(testLimit ?? data.test.count, data.test.count)
  return new Map(
    rows.flatMap(({ spec, stepSeconds }) => {
      if (stepSeconds === null) return []
      const imagesPerSecond = batchSize / stepSeconds.median
      const seconds = steps * stepSeconds.median + (EVALUATION_SHARE * tested) / imagesPerSecond
      return [[spec, { imagesPerSecond, seconds }]]
    }),
  )
}

// How long a cell will take, by the step time that is measured here and now.
// in: a plan and a data set -> out: seconds a run, by two measured steps of each in a fresh process.
import { definedOf } from '../base/validate.js'
import { trainerOptionsOf } from '../config/create.js'
import { resolveConfig } from '../config/resolve.js'
import type { Dataset } from '../datasets/dataset.js'
import type { DeviceName } from '../device/device.js'
import { firstImages } from '../evaluate/evaluate.js'
import type { AccuracyPlan } from './accuracy.js'
import { configOfCell } from './cells.js'
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
  plan: AccuracyPlan,
  runs: readonly string[],
  data: Dataset,
  options: { readonly device: DeviceName } & Pick<CompareOptions, 'signal' | 'onProgress'>,
): Promise<ReadonlyMap<string, TimeEstimate>> {
  const { device, ...rest } = options
  const { batchSize, epochs, trainLimit, testLimit } = plan.settings
  const train = firstImages(data.train, trainLimit ?? data.train.count)
  const { rows } = await compare({
    ...{ runs, batchSize, steps: 2, warmup: 1 },
    data: { ...data, train },
    ...timedAs(plan, data.name, device),
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

/** The network, and what the run specs do not say: as the cells train, which recompute what is cheap. */
export function timedAs(plan: AccuracyPlan, dataset: string, device: DeviceName) {
  // The same for every run of it; the seed is that of the measurement.
  const cell = plan.cells.find((one) => one.dataset === dataset) as AccuracyPlan['cells'][number]
  const config = resolveConfig(configOfCell(plan, cell, { device }))
  return { model: { ...definedOf(config.model), device }, training: trainerOptionsOf(config) }
}

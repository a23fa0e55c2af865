// A run folder -> timeline.json: a step's memory of end-to-end training and of the run's spec, each
// in a fresh process with the run's network, optimizers, batch size and ways to save memory. Memory does
// not depend on what images show, so made-up ones do.
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { writeFileAtomically } from '../base/files.js'
import { TIMELINE_FILE } from '../base/run-files.js'
import { checkCallback, checkFile, checkKeys, checkSignal, readArgument } from '../base/validate.js'
import { trainerOptionsOf } from '../config/create.js'
import { resolveConfig } from '../config/resolve.js'
import type { TrainingConfig, TrainingConfigInput } from '../config/schema.js'
import { syntheticDataset } from '../datasets/synthetic.js'
import { checkComputes, checkDeviceName } from '../device/device.js'
import { resolveBackpropOptions } from '../local/methods.js'
import { parseRunSpec, sharedOf } from '../local/run-spec.js'
import { specTextOf } from '../local/spec-text.js'
import type { SwinOptions } from '../local/swin-transformer.js'
import { readRun } from '../report/run-data.js'
import { type CompareProgress, compare } from './compare.js'

export interface MeasureTimelinesOptions {
  /** Where to measure; default: the device that the run names, else `auto`. */
  readonly device?: string
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: CompareProgress) => void
}

/**
 * @throws {LocalformerError} `ERR_CONFIG` for a run whose configuration does not name its network,
 *   batch size and spec, `ERR_OUT_OF_MEMORY` where end-to-end training does not fit, and what a
 *   comparison throws.
 */
export async function measureTimelines(
  directory: string,
  options: MeasureTimelinesOptions = {},
): Promise<void> {
  checkFile(directory, 'directory', 'the name of a run folder')
  checkKeys(options, 'options', ['device', 'signal', 'onProgress'])
  readArgument('options', () => {
    if (options.device !== undefined) {
      checkDeviceName(options.device)
      checkComputes(options.device, 'time a step')
    }
    checkSignal(options.signal)
    checkCallback(options.onProgress, 'onProgress')
  })
  const { config, spec, batchSize, classes } = await readRun(directory)
  const { imageSize, ...network } = (config.model ?? {}) as SwinOptions
  if (imageSize === undefined || batchSize === undefined || classes === undefined) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `${directory} does not say how large its images and batches are, or how many classes there are`,
      { hint: 'A run says so from its first checkpoint on.' },
    )
  }
  const device = options.device ?? (config.device as string | undefined)
  const { rows } = await compare({
    ...timelineRuns(spec, resolveConfig(config as TrainingConfigInput)),
    data: syntheticDataset({
      trainCount: batchSize,
      testCount: 1,
      imageSize,
      classes,
    }),
    model: {
      ...network,
      imageSize,
      ...(device === undefined ? {} : { device: device as 'cpu' }),
    },
    batchSize,
    steps: 1,
    timeline: true,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  })
  const failed = rows.find(({ timeline }) => timeline === undefined)
  if (failed) {
    throw new LocalformerError(
      'ERR_OUT_OF_MEMORY',
      `${failed.spec} ran out of memory at batch size ${batchSize}, so it has no timeline`,
    )
  }
  const timelines = rows.map(({ spec: measured, timeline }) => ({
    spec: measured,
    points: timeline,
  }))
  const document = { schema: 1, batchSize, timelines }
  await writeFileAtomically(path.join(directory, TIMELINE_FILE), `${JSON.stringify(document)}\n`)
}

/**
 * What is measured, the run as it trains, and before it the same end to end: what both can have, such as
 * recomputation, is no saving of local learning. A run that is end to end stands alone.
 */
export function timelineRuns(run: string, config: TrainingConfig) {
  const spec = parseRunSpec(run)
  const options = trainerOptionsOf(config)
  const { recompute = options.recompute } = spec.given
  // The rival's name leaves out what is a trainer's default, which need not be a configuration's.
  const training = { ...options, recompute }
  if (spec.method === 'backprop') return { runs: [run], training }
  const shared = resolveBackpropOptions({ ...sharedOf(spec), recompute })
  return { runs: [specTextOf('backprop', shared), run], training }
}

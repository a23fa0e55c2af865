// The batch that a device has room for: planned, then confirmed by steps that are computed.
// in: a configuration -> out: the same with a batch size and, for a wanted effective batch, micro-batches.

import { bytesOfLimit } from '../base/bytes.js'
import { expected, LocalformerError } from '../base/errors.js'
import { formatBytes } from '../base/format.js'
import { checkKeys, checkSignal, readArgument } from '../base/validate.js'
import { type ResolvedConfig, resolveInput } from '../config/resolve.js'
import { changeRun } from '../config/run-parts.js'
import type { TrainingConfig, TrainingConfigInput } from '../config/schema.js'
import { checkDataset, type Dataset } from '../datasets/dataset.js'
import { DryRunner } from './dry-runner.js'
import { type PlanSubject, planRow } from './plan-row.js'
import { mostImagesOf, requestOf, withBatch, withRun } from './request.js'
import { deviceTarget, limitsOf, roomOf } from './target.js'

export interface AutoBatchOptions {
  /** What it is trained on: its images bound the batch. */
  readonly data: Dataset
  /** Images of an update, which stay; micro-batches make it fit. */
  readonly effectiveBatch?: number | undefined
  /** What tensors may take; undefined: what the device has. */
  readonly limitBytes: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Told what is tried, each thing once. */
  readonly onProgress?: (what: string) => void
}

export interface AutoBatch {
  readonly config: ResolvedConfig
  readonly batchSize: number
  readonly accumulate: number
  readonly peakAllocatedBytes: number
}

/** What there is to try with. */
interface Trial
  extends Omit<PlanSubject, 'config'>,
    Pick<AutoBatchOptions, 'signal' | 'onProgress'> {
  /** Images that there are to train on. */
  readonly images: number
}

/** A batch that a confirming step refused is made smaller by so much, so often. */
const SMALLER = 0.95
const MOST_CONFIRMATIONS = 4

/**
 * @throws {LocalformerError} `ERR_OUT_OF_MEMORY` where not even one image fits, or the effective batch in
 *   no power of two of micro-batches.
 */
export async function autoBatch(
  config: ResolvedConfig,
  options: AutoBatchOptions,
): Promise<AutoBatch> {
  const { data, effectiveBatch, limitBytes: limit, signal, onProgress } = options
  const { dataset, device } = config.config
  const trial: Trial = {
    classes: data.classes.length,
    images: Math.min(data.train.count, dataset.trainLimit ?? data.train.count),
    target: deviceTarget(device, limit),
    ...{ signal, ...(onProgress && { onProgress }) },
  }
  let sized =
    effectiveBatch === undefined
      ? await largest(config, trial)
      : await inMicroBatches(config, trial, effectiveBatch)
  await using runner = await DryRunner.start({ ...trial.target, computes: true }, signal)
  const limitBytes = limitsOf(roomOf(trial.target, runner)).possible
  for (let count = 0; count < MOST_CONFIRMATIONS; count++) {
    const { batchSize } = sized.config.training
    const { accumulate } = sized.spec
    onProgress?.(`confirming a batch of ${batchSize} by two steps`)
    const result = await runner.run({ ...requestOf(sized, trial.classes), limitBytes }, signal)
    if (result.status === 'ok') {
      const { peakAllocatedBytes } = result
      return { config: sized, batchSize, accumulate, peakAllocatedBytes }
    }
    const isWhole = effectiveBatch === undefined
    const next = isWhole ? Math.floor(batchSize * SMALLER) : accumulate * 2
    if (next < 1 || next > batchSize) break
    sized = isWhole ? withBatch(sized, next) : withAccumulate(sized, next)
  }
  throw nothingFits(config, limitBytes)
}

export interface FitBatchOptions {
  /** What it is trained on: its images bound the batch. */
  readonly data: Dataset
  /** Images of an update, in 1, 2, 4 or more micro-batches; default: the largest batch that fits. */
  readonly effectiveBatch?: number
  /** What tensors may take at most, in bytes or as text (`4GiB`); default: what the device has. */
  readonly memoryLimit?: number | string
  readonly signal?: AbortSignal
}

export interface FittedBatch {
  /** To be trained: `createRun(config, { data })`. */
  readonly config: TrainingConfig
  readonly batchSize: number
  /** Micro-batches of a step. */
  readonly accumulate: number
  /** What a step took of tensors. */
  readonly peakAllocatedBytes: number
}

/**
 * The configuration with the batch that its device has room for, as `train --batch-size auto` finds it:
 * planned, then confirmed by two steps in another process.
 *
 * ```ts
 * const { config } = await fitBatch({ run: 'paper:4' }, { data, effectiveBatch: 256 })
 * await using run = await createRun(config, { data })
 * ```
 *
 * @throws {LocalformerError} `ERR_OUT_OF_MEMORY` where nothing fits, `ERR_CONFIG`, and what loading
 *   LibTorch throws.
 */
export async function fitBatch(
  config: TrainingConfigInput,
  options: FitBatchOptions,
): Promise<FittedBatch> {
  const { data, effectiveBatch, memoryLimit, signal } = readArgument('options', () => {
    checkKeys(options, 'options', ['data', 'effectiveBatch', 'memoryLimit', 'signal'])
    return { ...options }
  })
  checkDataset(data)
  checkSignal(signal)
  const limitBytes = memoryLimit === undefined ? undefined : bytesOfLimit(memoryLimit)
  const found = await autoBatch(resolveInput(config), {
    ...{ data, effectiveBatch, limitBytes, signal },
  })
  return { ...found, config: found.config.config }
}

async function largest(
  config: ResolvedConfig,
  { classes, target, images, signal, onProgress }: Trial,
): Promise<ResolvedConfig> {
  onProgress?.('looking for the largest batch')
  await using runner = await DryRunner.start(target, signal)
  const from = withBatch(config, Math.min(config.config.training.batchSize, images))
  const row = await planRow(
    runner,
    { config: from, classes, target },
    { ...(signal && { signal }), mostImages: images },
  )
  const batchSize = row.largestBatch?.safe ?? 0
  if (batchSize === 0) throw nothingFits(config, row.totalBytes - row.contextBytes)
  return withBatch(config, batchSize)
}

async function inMicroBatches(
  config: ResolvedConfig,
  { classes, target, images, signal, onProgress }: Trial,
  effectiveBatch: number,
): Promise<ResolvedConfig> {
  const most = Math.min(images, mostImagesOf(config.network.imageSize))
  if (!(Number.isInteger(effectiveBatch) && effectiveBatch >= 1 && effectiveBatch <= most)) {
    const why = most === images ? 'the images there are to train on' : 'whose pixels one array has'
    const what = `a whole number from 1 to ${most}, ${why},`
    throw new LocalformerError('ERR_CONFIG', expected(what, 'effectiveBatch', effectiveBatch))
  }
  await using runner = await DryRunner.start(target, signal)
  const whole = withBatch(config, effectiveBatch)
  let room = 0
  for (let accumulate = config.spec.accumulate; accumulate <= effectiveBatch; accumulate *= 2) {
    onProgress?.(`trying ${effectiveBatch} images in ${accumulate} micro-batches`)
    const one = withAccumulate(whole, accumulate)
    const options = { largestBatch: false, ...(signal && { signal }) }
    const row = await planRow(runner, { config: one, classes, target }, options)
    if (row.verdict === 'fits') return one
    room = row.totalBytes - row.contextBytes
  }
  throw nothingFits(config, room)
}

function withAccumulate(config: ResolvedConfig, accumulate: number): ResolvedConfig {
  if (accumulate === 1) return config
  return withRun(config, changeRun(config.spec.text, { accumulate: `${accumulate}` }))
}

function nothingFits({ spec }: ResolvedConfig, bytes: number): LocalformerError {
  return new LocalformerError(
    'ERR_OUT_OF_MEMORY',
    `No batch of ${spec.text} fits into ${formatBytes(bytes)}`,
    { hint: 'Ask `npx localformer plan` without --run what would.' },
  )
}

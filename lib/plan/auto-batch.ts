// The batch that a device has room for: planned, then confirmed by steps that are computed.
// in: a configuration -> out: the same with a batch size and, for a wanted effective batch, micro-batches.

import { bytesOf } from '../base/bytes.js'
import { expected, LocalformerError } from '../base/errors.js'
import { formatBytes } from '../base/format.js'
import { checkKeys, checkSignal, readArgument } from '../base/validate.js'
import { type ResolvedConfig, resolveInput } from '../config/resolve.js'
import { changeRun } from '../config/run-parts.js'
import type { TrainingConfig, TrainingConfigInput } from '../config/schema.js'
import { checkDataset, type Dataset } from '../datasets/dataset.js'
import { DryRunner } from './dry-runner.js'
import { planRow } from './plan-row.js'
import { requestOf } from './request.js'
import type { PlanTarget } from './target.js'
import { deviceTarget, limitsOf, roomOf } from './target.js'

export interface AutoBatchOptions {
  readonly classes: number
  readonly target: PlanTarget
  /** Images that there are to train on: no larger batch is taken. */
  readonly images: number
  /** Images of an update, which stay; micro-batches make it fit. */
  readonly effectiveBatch?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: (what: string) => void
}

export interface AutoBatch {
  readonly config: ResolvedConfig
  readonly batchSize: number
  readonly accumulate: number
  readonly peakAllocatedBytes: number
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
  let sized: ResolvedConfig =
    options.effectiveBatch === undefined
      ? await largest(config, options)
      : await inMicroBatches(config, options, options.effectiveBatch)
  await using runner = await DryRunner.start({ ...options.target, computes: true }, options.signal)
  const limitBytes = limitsOf(roomOf(options.target, runner)).possible
  for (let count = 0; count < MOST_CONFIRMATIONS; count++) {
    options.onProgress?.(`confirming a batch of ${sized.config.training.batchSize} by two steps`)
    const request = { ...requestOf(sized, options.classes), limitBytes }
    const result = await runner.run(request, options.signal)
    if (result.status === 'ok') {
      const { batchSize } = sized.config.training
      const { peakAllocatedBytes } = result
      return { config: sized, batchSize, accumulate: sized.spec.accumulate, peakAllocatedBytes }
    }
    const { batchSize } = sized.config.training
    const next =
      options.effectiveBatch === undefined
        ? Math.floor(batchSize * SMALLER)
        : sized.spec.accumulate * 2
    if (next < 1 || next > batchSize) break
    sized =
      options.effectiveBatch === undefined ? withBatch(sized, next) : withAccumulate(sized, next)
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
  const resolved = resolveInput(config)
  const { trainLimit } = resolved.config.dataset
  const limit = memoryLimit === undefined ? undefined : bytesOf(memoryLimit, 'memoryLimit', 2 ** 20)
  const found = await autoBatch(resolved, {
    classes: data.classes.length,
    images: Math.min(data.train.count, trainLimit ?? data.train.count),
    target: deviceTarget(resolved.config.device, limit),
    ...{ effectiveBatch, signal },
  })
  return { ...found, config: found.config.config }
}

async function largest(
  config: ResolvedConfig,
  { classes, target, images, signal, onProgress }: AutoBatchOptions,
): Promise<ResolvedConfig> {
  await using runner = await DryRunner.start(target, signal)
  const from = withBatch(config, Math.min(config.config.training.batchSize, images))
  const row = await planRow(
    runner,
    { config: from, classes, target },
    {
      ...(signal && { signal }),
      mostImages: images,
      tell: (tried) => onProgress?.(`looking for the largest batch, ${tried} tried`),
    },
  )
  const batchSize = row.largestBatch?.safe ?? 0
  if (batchSize === 0) throw nothingFits(config, row.totalBytes - row.contextBytes)
  return withBatch(config, batchSize)
}

async function inMicroBatches(
  config: ResolvedConfig,
  { classes, target, images, signal, onProgress }: AutoBatchOptions,
  effectiveBatch: number,
): Promise<ResolvedConfig> {
  if (!(Number.isInteger(effectiveBatch) && effectiveBatch >= 1 && effectiveBatch <= images)) {
    const what = `a whole number from 1 to ${images}, the images there are to train on,`
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

function withBatch({ config }: ResolvedConfig, batchSize: number): ResolvedConfig {
  return resolveInput({ ...config, training: { ...config.training, batchSize } })
}

function withAccumulate({ config, spec }: ResolvedConfig, accumulate: number): ResolvedConfig {
  const run = accumulate === 1 ? spec.text : changeRun(spec.text, { accumulate: `${accumulate}` })
  return resolveInput({ ...config, run })
}

function nothingFits({ spec }: ResolvedConfig, bytes: number): LocalformerError {
  return new LocalformerError(
    'ERR_OUT_OF_MEMORY',
    `No batch of ${spec.text} fits into ${formatBytes(bytes)}`,
    { hint: 'Ask `npx localformer plan` without --run what would.' },
  )
}

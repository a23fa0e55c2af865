// What a configuration asks of the process that tries it.
import { expected, LocalformerError } from '../base/errors.js'
import { trainerOptionsOf } from '../config/create.js'
import { type ResolvedConfig, resolveInput } from '../config/resolve.js'
import { findDataset } from '../datasets/open.js'
import type { DryRunRequest } from './dry-run.js'

/** What one array can have in every version of Node.js. */
const MOST_ARRAY_BYTES = 2 ** 32

/** Images of a batch whose pixels one array can have. */
export function mostImagesOf(imageSize: number): number {
  return Math.floor(MOST_ARRAY_BYTES / (3 * imageSize ** 2))
}

/** @throws {LocalformerError} `ERR_CONFIG` where no array can have that many images */
export function checkBatch({ config, network: { imageSize } }: ResolvedConfig): void {
  const most = mostImagesOf(imageSize)
  const { batchSize } = config.training
  if (batchSize <= most) return
  throw new LocalformerError('ERR_CONFIG', expected(`at most ${most}`, 'batchSize', batchSize), {
    hint: `The pixels of more images of ${imageSize} px do not fit into one array.`,
  })
}

/**
 * Everything but what it may take.
 *
 * @throws {LocalformerError} as {@link checkBatch}
 */
export function requestOf(
  resolved: ResolvedConfig,
  classes: number,
): Omit<DryRunRequest, 'limitBytes'> {
  checkBatch(resolved)
  const { config, network, spec } = resolved
  const { device: _, ...sizes } = network
  return {
    network: { ...sizes, classes },
    run: spec.text,
    training: trainerOptionsOf(config),
    batchSize: config.training.batchSize,
    ema: config.training.ema ?? null,
  }
}

/** Classes of a data set that is known by name; 10 of others. */
export function classesOf({ config }: ResolvedConfig): number {
  return findDataset(config.dataset.name).classes ?? 10
}

/** The same configuration with another run spec. */
export function withRun({ config }: ResolvedConfig, run: string): ResolvedConfig {
  return resolveInput({ ...config, run })
}

/** The same with another batch size. */
export function withBatch({ config }: ResolvedConfig, batchSize: number): ResolvedConfig {
  return resolveInput({ ...config, training: { ...config.training, batchSize } })
}

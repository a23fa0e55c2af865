// What a configuration asks of the process that tries it.
import { trainerOptionsOf } from '../config/create.js'
import { type ResolvedConfig, resolveInput } from '../config/resolve.js'
import { findDataset } from '../datasets/open.js'
import type { DryRunRequest } from './dry-run.js'

/** Everything but what it may take. */
export function requestOf(
  { config, network, spec }: ResolvedConfig,
  classes: number,
): Omit<DryRunRequest, 'limitBytes'> {
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

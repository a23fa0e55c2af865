// What a configuration asks of the process that tries it.
import { optimizerOptionsOf } from '../config/create.js'
import type { ResolvedConfig } from '../config/resolve.js'
import { DEFAULTS } from '../config/schema.js'
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
    training: { recompute: DEFAULTS.recompute, ...optimizerOptionsOf(config) },
    batchSize: config.training.batchSize,
    ema: config.training.ema ?? null,
  }
}

/** Classes of a data set that is known by name; 10 of others. */
export function classesOf({ config }: ResolvedConfig): number {
  return findDataset(config.dataset.name).classes ?? 10
}

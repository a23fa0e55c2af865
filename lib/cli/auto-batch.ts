// `--batch-size auto`: the flag, and the configuration with the batch that there is room for.
import type { Options } from 'yargs'
import { formatBytes } from '../base/format.js'
import type { ResolvedConfig } from '../config/resolve.js'
import type { Dataset } from '../datasets/dataset.js'
import { autoBatch } from '../plan/auto-batch.js'
import { type GlobalOptions, note } from './command.js'
import { configOptions } from './config-flags.js'
import { type MemoryLimitArguments, memoryLimitOf } from './memory-limit.js'

interface AutoBatchArguments extends MemoryLimitArguments {
  readonly batchSize?: unknown
  readonly effectiveBatch?: number | undefined
}

/** The flags of a configuration, with `auto` as a batch size. */
export function trainingOptions(): Record<string, Options> {
  const options = configOptions()
  const batchSize: Options = {
    ...options['batch-size'],
    type: 'string',
    describe: 'Images in a batch; auto: as many as there is room for',
  }
  return { ...options, 'batch-size': batchSize }
}

export const AUTO = 'auto'

/** The flags without `auto`, which is found out with the images at hand; a number as such. */
export function withoutAuto<T extends object>(options: T): T {
  const { batchSize } = options as { readonly batchSize?: unknown }
  if (batchSize === undefined) return options
  return { ...options, batchSize: batchSize === AUTO ? undefined : Number(batchSize) }
}

/** The configuration with the batch that there is room for, where that was asked for. */
export async function sized(
  options: GlobalOptions & AutoBatchArguments,
  config: ResolvedConfig,
  data: Dataset,
  signal: AbortSignal,
): Promise<ResolvedConfig> {
  if (options.batchSize !== AUTO) return config
  const found = await autoBatch(config, {
    ...{ data, effectiveBatch: options.effectiveBatch, signal },
    limitBytes: memoryLimitOf(options).memoryLimitBytes,
    onProgress: (what) => note(options, `Batch size: ${what}`),
  })
  const micro = found.accumulate === 1 ? '' : ` in ${found.accumulate} micro-batches`
  note(
    options,
    `Batch size ${found.batchSize}${micro}: a step takes ${formatBytes(found.peakAllocatedBytes)}`,
  )
  return found.config
}

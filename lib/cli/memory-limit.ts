// The flag of every command that trains or measures: how much memory tensors may take.
import type { Options } from 'yargs'
import { bytesOfLimit } from '../base/bytes.js'

export const memoryLimitOption = {
  'memory-limit': {
    type: 'string',
    requiresArg: true,
    describe:
      'Memory that tensors may take of the device, such as 4GiB; what needs more is out of memory',
  },
} as const satisfies Readonly<Record<string, Options>>

/** What a handler finds of {@link memoryLimitOption}. */
export interface MemoryLimitArguments {
  memoryLimit: string | undefined
}

/**
 * The limit, where one was given, as the library takes it.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for what is no size.
 */
export function memoryLimitOf({ memoryLimit }: MemoryLimitArguments): {
  memoryLimitBytes?: number
} {
  if (memoryLimit === undefined) return {}
  return { memoryLimitBytes: bytesOfLimit(memoryLimit) }
}

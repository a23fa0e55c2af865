// What the commands that measure run specs in fresh processes share.
import type { Options } from 'yargs'
import { resolveDevice } from '../device/device.js'
import type { CompareOptions, CompareResult } from '../measure/compare.js'
import { type GlobalOptions, note } from './command.js'
import type { Progress } from './progress.js'

export const memoryLimitOption = {
  'memory-limit': {
    type: 'number',
    requiresArg: true,
    describe: 'GiB that tensors may take; a run that needs more is marked out of memory',
  },
} as const satisfies Readonly<Record<string, Options>>

/** The limit, where one was given, as the library takes it. */
export function memoryLimitOf(gibibytes: number | undefined) {
  return gibibytes === undefined ? {} : { memoryLimitBytes: Math.round(gibibytes * 2 ** 30) }
}

/**
 * Shows how far a comparison is. Which device `auto` took is told with the first progress: by then
 * everything has been checked that needs no LibTorch.
 */
export function comparisonProgress(
  options: GlobalOptions,
  progress: Progress,
): NonNullable<CompareOptions['onProgress']> {
  let isDeviceTold = options.device !== 'auto'
  return ({ spec, done, total }) => {
    if (!isDeviceTold) {
      const { name, reason } = resolveDevice(options.device)
      note(options, `Device ${name}: ${reason}`)
    }
    isDeviceTold = true
    progress.update({ label: `Measuring ${spec}`, done, total, unit: 'steps' })
  }
}

/** What the rows compute in; on CUDA `float32` alone does not say it. */
export function arithmeticText({ device, rows }: CompareResult): string {
  const words = rows.map(({ dtype, precision }) =>
    dtype === 'float32' && device !== 'cpu' ? `float32 (${precision})` : dtype,
  )
  const [first = 'float32', ...others] = new Set(words)
  if (others.length === 0) return first
  return `float32${device === 'cpu' ? '' : ' (ieee)'} unless the run says otherwise`
}

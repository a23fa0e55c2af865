// What the commands that measure run specs in fresh processes share.
import { resolveDevice } from '../device/device.js'
import type { CompareOptions, CompareResult } from '../measure/compare.js'
import { type GlobalOptions, note } from './command.js'
import type { Progress } from './progress.js'

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

/** `text` where a run does not say what it recomputes: `compare` has another default than `plan` and `train`. */
export function recomputeText(rows: readonly { readonly spec: string }[], text: string): string[] {
  return rows.every(({ spec }) => spec.includes('recompute=')) ? [] : [text]
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

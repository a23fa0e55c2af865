// Axes: where they begin and end, at which round numbers they have ticks, and how numbers read.

export interface Scale {
  readonly min: number
  readonly max: number
  readonly ticks: readonly number[]
}

/**
 * A scale with about `count` round ticks (1, 2 or 5 times a power of `base`) that holds all finite
 * values. `zero`: it begins at 0.
 */
export function scaleOf(
  values: Iterable<number>,
  options: { readonly count?: number; readonly zero?: boolean; readonly unit?: number } = {},
): Scale {
  const { count = 5, zero = false, unit = 1 } = options
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const value of values) {
    if (!Number.isFinite(value)) continue
    min = Math.min(min, value)
    max = Math.max(max, value)
  }
  if (min > max) [min, max] = [0, unit]
  if (zero) [min, max] = [Math.min(0, min), Math.max(0, max)]
  if (min === max)
    [min, max] = min === 0 ? [0, unit] : [min - Math.abs(min) / 2, max + Math.abs(max) / 2]
  const step = roundStep((max - min) / count / unit) * unit
  const first = Math.floor(min / step + 1e-9)
  const last = Math.ceil(max / step - 1e-9)
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step)
  return { min: first * step, max: last * step, ticks }
}

/** The x axis: it ends with the values, only the ticks are round. */
export function tightScale(min: number, max: number, count: number, whole: boolean): Scale {
  if (!(max > min)) return { min: min - 0.5, max: min + 0.5, ticks: [min] }
  const raw = roundStep((max - min) / count)
  const step = whole ? Math.max(1, Math.round(raw)) : raw
  const first = Math.ceil(min / step - 1e-9)
  const last = Math.floor(max / step + 1e-9)
  return { min, max, ticks: Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step) }
}

/** The next larger of 1, 2 and 5 times a power of ten. */
function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough))
  const factor = [1, 2, 5, 10].find((f) => f * power >= rough * (1 - 1e-9)) ?? 10
  return factor * power
}

/** A number with about `digits` digits: `1,234`, `0.0123`, `1.2e-5`. */
export function formatNumber(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
    return value.toExponential(Math.max(0, digits - 2)).replace('e+', 'e')
  }
  // The place of the first digit: 2 for 12.3, -1 for 0.0123.
  const place = size === 0 ? 1 : Math.floor(Math.log10(size)) + 1
  const behind = Math.max(0, digits - Math.max(place, size < 0.1 ? place : 1))
  return value.toLocaleString('en-US', { maximumFractionDigits: behind })
}

/** `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–'
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  const minutes = Math.round(seconds / 60)
  return `${Math.floor(minutes / 60).toLocaleString('en-US')} h ${minutes % 60} min`
}

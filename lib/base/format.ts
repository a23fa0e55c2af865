// Numbers as they read in messages and tables. Sizes are in units of 1024 and say so.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** Bytes as text with about three digits: `0 B`, `1.50 KiB`, `12.3 MiB`, `508 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (Math.abs(value) >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 ? 0 : Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0
  return `${value.toFixed(digits)} ${UNITS[unit]}`
}

/** A share of 1 as text with one digit behind the point: `37.5 %`. */
export function formatPercent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

/** `weightDecay` -> `weight-decay` */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

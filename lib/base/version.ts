// The package's own version, and versions compared.
import { readFileSync } from 'node:fs'

/** Version of this package, e.g. `0.1.0`. */
export function packageVersion(): string {
  if (ownVersion === undefined) {
    const file = new URL('../../../package.json', import.meta.url)
    ownVersion = (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  }
  return ownVersion
}

let ownVersion: string | undefined

/** Whether a dotted version comes before another one. */
export function isOlder(version: string, than: string): boolean {
  const left = version.split('.').map((part) => Number.parseInt(part, 10))
  const right = than.split('.').map((part) => Number.parseInt(part, 10))
  for (const [index, wanted] of right.entries()) {
    const found = left[index] ?? 0
    if (found !== wanted) return found < wanted
  }
  return false
}

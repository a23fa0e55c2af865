// What machine a table was made on.
import { cpus } from 'node:os'

/** Date and processor, for a line below a table. */
export function madeOn(): string {
  const all = cpus()
  return `${new Date().toISOString().slice(0, 10)}, ${all[0]?.model.trim() ?? 'unknown processor'}, ${all.length} cores`
}

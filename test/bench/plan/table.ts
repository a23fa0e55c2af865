// A Markdown table, and what machine it was made on.
import { cpus } from 'node:os'

const RULES: Readonly<Record<string, string>> = { l: '---', r: '---:' }

/** @param sides `l` or `r` for each column. */
export function markdown(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  sides: string,
): string {
  const rule = [...sides].map((side) => RULES[side] ?? '---')
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Date and processor, for a line below a table. */
export function madeOn(): string {
  const all = cpus()
  return `${new Date().toISOString().slice(0, 10)}, ${all[0]?.model.trim() ?? 'unknown processor'}, ${all.length} cores`
}

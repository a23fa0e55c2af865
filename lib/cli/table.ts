// Text tables: the first column to the left, numbers to the right.
import { safeLine } from '../base/terminal.js'

export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  // Before widths are taken: a cell is one line, whatever a name holds.
  const all = [head, ...rows].map((row) => row.map(safeLine))
  const widths = head.map((_, column) =>
    all.reduce((most, row) => Math.max(most, (row[column] ?? '').length), 0),
  )
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  const [first = '', ...others] = all.map(line)
  return [first, widths.map((width) => '-'.repeat(width)).join('  '), ...others].join('\n')
}

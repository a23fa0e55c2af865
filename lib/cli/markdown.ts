// GitHub's Markdown: tables and text that stays text.
import { safeLine } from '../base/terminal.js'

/** @param sides `l` or `r` for each column; default: the first to the left, the others to the right. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  sides = 'l',
): string {
  const line = (row: readonly string[]) =>
    `| ${head.map((_, column) => safeLine(row[column] ?? '').replaceAll('|', '\\|')).join(' | ')} |`
  const rule = head.map((_, column) => (sides[column] === 'l' ? '---' : '---:'))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}

/** Text as it is, where Markdown would read marks into it. */
export function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_[\]<>|]/g, '\\$&')
}

export function codeSpan(text: string): string {
  return `\`${text}\``
}

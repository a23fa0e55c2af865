// Cells of CSV (RFC 4180). A spreadsheet takes a cell that begins with =, +, - or @ for a formula, so
// text that does gets an apostrophe before it, as OWASP's "CSV Injection" says; numbers are numbers.

/** Blanks before it do not keep a spreadsheet from it, nor do full-width forms. */
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r]/

export function csvCell(value: string | number | null | undefined): string {
  if (typeof value !== 'string') return value === null || value === undefined ? '' : `${value}`
  const text = FORMULA.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** A row with its end. */
export function csvLine(cells: readonly (string | number | null | undefined)[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`
}

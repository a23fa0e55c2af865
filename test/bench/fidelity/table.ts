// What a simulated figure is beside a published one, and the table of all of them.
import { formatTable } from '../../../lib/cli/table.js'
import { type Case, UNITS } from './cases.js'

export interface Row {
  readonly case: Case
  /** Bytes. */
  readonly simulated: number
  /** Simulated over published, less 1. */
  readonly relative: number
  /**
   * `equal`, `rounded` (equal in the digits that the source prints), `different`, or `about` where the source
   * says so: its digits cannot be agreed with.
   */
  readonly verdict: 'equal' | 'rounded' | 'about' | 'different'
}

export function rowOf(one: Case, simulated: number): Row {
  const published = one.published * UNITS[one.unit]
  const relative = simulated / published - 1
  return { case: one, simulated, relative, verdict: verdictOf(one, simulated, published) }
}

function verdictOf(one: Case, simulated: number, published: number): Row['verdict'] {
  if (one.isAbout) return 'about'
  if (simulated === published) return 'equal'
  return inUnit(one, simulated) === one.published.toFixed(one.digits) ? 'rounded' : 'different'
}

/**
 * The largest relative error of cases from the simulated version or one that allocates alike; undefined
 * where there is none of them.
 */
export function worstOf(rows: readonly Row[]): number | undefined {
  const close = rows.filter((row) => row.case.isClose === true)
  return close.length === 0 ? undefined : largestOf(close)
}

const largestOf = (rows: readonly Row[]) =>
  rows.reduce((most, row) => Math.max(most, Math.abs(row.relative)), 0)

/** How many figures agree, and how far. */
export function summaryOf(rows: readonly Row[]): string {
  const of = (verdict: Row['verdict']) => rows.filter((row) => row.verdict === verdict)
  const about = of('about')
  const worst = worstOf(rows)
  const share = (relative: number) => percent(relative).replace('+', '')
  return [
    `${rows.length} figures: ${of('equal').length} equal to the byte, ${of('rounded').length} equal in every`,
    'digit that is published,',
    ...(about.length === 0
      ? []
      : [`${about.length} published as "about" and within ${share(largestOf(about))} of it,`]),
    `${of('different').length} different.`,
    ...(worst === undefined
      ? []
      : [`Of versions that allocate alike the worst is ${share(worst)}.`]),
  ].join(' ')
}

const inUnit = (one: Case, bytes: number) => (bytes / UNITS[one.unit]).toFixed(one.digits)

const HEAD = ['case', 'torch', 'card', 'published', 'simulated', 'difference', 'explained']

function cells({ case: one, simulated, relative, verdict }: Row, name: string): string[] {
  const published = `${one.isAbout ? 'about ' : ''}${one.published.toFixed(one.digits)} ${one.unit}`
  const card =
    one.publishedCard === undefined ? one.card : `${one.card} (published: ${one.publishedCard})`
  const explained =
    verdict === 'about' ? 'rounded in the source' : verdict === 'different' ? one.explained : ''
  return [
    ...[name, one.torch, card, published, `${inUnit(one, simulated)} ${one.unit}`],
    verdict === 'equal' ? '0' : percent(relative),
    explained ?? 'unexplained',
  ]
}

/** -0.03 -> `-3.0 %`; what is less than a hundred-thousandth is told in powers. */
export function percent(relative: number): string {
  const value = relative * 100
  const text =
    Math.abs(value) >= 0.095
      ? value.toFixed(1)
      : Math.abs(value) >= 0.001
        ? value.toFixed(3)
        : value.toExponential(0)
  return `${value > 0 ? '+' : ''}${text} %`
}

export function asText(rows: readonly Row[]): string {
  return formatTable(
    HEAD,
    rows.map((row) => cells(row, row.case.name)),
  )
}

export function asMarkdown(rows: readonly Row[]): string {
  const line = (all: readonly string[]) => `| ${all.join(' | ')} |`
  return [
    ...[line(HEAD), line(['---', '---', '---', '---:', '---:', '---:', '---'])],
    ...rows.map((row) => line(cells(row, `[${row.case.name}](${row.case.source})`))),
  ].join('\n')
}

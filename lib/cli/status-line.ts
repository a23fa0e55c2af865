// Parts of a status line -> one line of text that fits a width: the least important parts go first.
import { safeLine } from '../base/terminal.js'

export interface Part {
  readonly text: string
  /** In place of the text where room is short, the longest first. */
  readonly shorter?: readonly string[]
  /** 0 is kept to the last. */
  readonly rank: number
  readonly isStrong?: boolean
  /** Drawn rather than told: nothing for a log file. */
  readonly isPicture?: boolean
}

const GAP = '  '
const DIM = '\u001b[2m'
const RESET = '\u001b[0m'

/**
 * The parts joined, at most `width` columns wide; every character is taken to be one column wide.
 * With `color` what is not strong is dimmed.
 */
export function partsThatFit(parts: readonly Part[], width: number, color: boolean): string {
  const kept = parts.map((part) => ({ ...part, text: safeLine(part.text) }))
  while (widthOf(kept) > width && kept.length > 0) {
    const last = kept.reduce((worst, part) => (part.rank > worst.rank ? part : worst))
    const at = kept.indexOf(last)
    const [next, ...rest] = last.shorter ?? []
    if (next === undefined) kept.splice(at, 1)
    else kept[at] = { ...last, text: next, shorter: rest }
  }
  return kept
    .map(({ text, isStrong }) => (color && !isStrong ? `${DIM}${text}${RESET}` : text))
    .join(GAP)
}

function widthOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { text }) => sum + [...text].length, GAP.length * (parts.length - 1))
}

// What a part of the harness tried and what it found: counts, and every violation with its place.

/** One thing that must hold and did not. */
export interface Violation {
  /** Which case, e.g. `paper, bfloat16, recompute=block`. */
  readonly where: string
  readonly what: string
}

/** Counts by what was tried, and what did not hold. */
export class Tally {
  readonly counts = new Map<string, number>()
  readonly violations: Violation[] = []

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by)
  }

  fail(where: string, what: string): void {
    this.violations.push({ where, what })
  }

  /** Of one count; 0 where nothing was counted. */
  of(what: string): number {
    return this.counts.get(what) ?? 0
  }

  /** One line a count, then one a violation, the first few of each case. */
  text(): string {
    const counts = [...this.counts].map(([what, n]) => `${String(n).padStart(9)}  ${what}`)
    const shown = this.violations
      .slice(0, MOST_SHOWN)
      .map(({ where, what }) => `  ${where}: ${what}`)
    const more = this.violations.length - shown.length
    return [
      ...counts,
      `${String(this.violations.length).padStart(9)}  violations`,
      ...shown,
      ...(more > 0 ? [`  and ${more} more`] : []),
    ].join('\n')
  }
}

const MOST_SHOWN = 40

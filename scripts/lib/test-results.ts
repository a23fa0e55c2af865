// What a test file's process left behind -> counts. The counts are uvu's own (`Total`, `Passed`,
// `Skipped`); whatever keeps them from being trusted is counted as a failure, never as nothing.

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const NOTHING: Counts = { passed: 0, failed: 0, skipped: 0 }

/** How a test file's process ended. */
export interface Ended {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null
  readonly signal: string | null
  /** Seconds it was given, when it was stopped for taking longer. */
  readonly timedOutAfter?: number | undefined
  /** True when it left processes behind that still held its output. */
  readonly leftProcesses?: boolean | undefined
  /** Standard output and standard error together. */
  readonly output: string
}

export interface Verdict extends Counts {
  /** Why something counts as failed beyond the failures that uvu counted. */
  readonly reason?: string
}

interface UvuCounts {
  readonly total: number
  readonly passed: number
  readonly skipped: number
}

/** uvu's last summary in an output; undefined when there is none. */
export function parseUvu(output: string): UvuCounts | undefined {
  const summary = /^ *Total: +(\d+)\n *Passed: +(\d+)\n *Skipped: +(\d+)$/gm
  const last = [...stripColors(output).matchAll(summary)].at(-1)
  if (!last) return undefined
  return { total: Number(last[1]), passed: Number(last[2]), skipped: Number(last[3]) }
}

/** Counts one test file. */
export function judge(ended: Ended): Verdict {
  const counts = parseUvu(ended.output)
  const { passed, skipped } = counts ?? NOTHING
  // A failing `before` hook leaves exit code 0 and fewer passed than there are in all.
  const failed = counts ? counts.total - counts.passed : 0
  const reason = reasonToFail(ended, counts, failed)
  if (reason === undefined) return { passed, failed, skipped }
  return { passed, failed: failed + 1, skipped, reason }
}

function reasonToFail(
  ended: Ended,
  counts: UvuCounts | undefined,
  failed: number,
): string | undefined {
  if (ended.timedOutAfter !== undefined) return `took longer than ${ended.timedOutAfter} s`
  if (ended.signal !== null) return `ended by ${ended.signal}`
  if (!counts) return `printed no counts (exit code ${ended.code})`
  if (ended.leftProcesses) return 'left processes running'
  if (ended.code !== 0 && failed === 0) return `exit code ${ended.code} after its tests`
  if (counts.total + counts.skipped === 0) return 'has no tests'
  return undefined
}

export function add(left: Counts, right: Counts): Counts {
  return {
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    skipped: left.skipped + right.skipped,
  }
}

/** The last line of a run. */
export function summaryLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

/** 1 when anything failed, or when nothing ran. */
export function exitCodeOf({ passed, failed }: Counts): number {
  return failed > 0 || passed === 0 ? 1 : 0
}

/** Text without a terminal's colour codes. */
export function stripColors(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is meant
  return text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, '').replaceAll('\r\n', '\n')
}

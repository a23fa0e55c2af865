// What a native build prints -> its progress and, when it fails, the compiler's errors alone.
// Reads CMake, Ninja, Make, GCC and Clang, line by line.

export interface BuildStep {
  readonly done: number
  readonly total: number
}

const NINJA_STEP = /^\[(\d+)\/(\d+)\] /
const MAKE_STEP = /^\[ *(\d+)%\] /

/**
 * The progress that a line tells, or undefined when it tells none.
 *
 * @param files How many files are compiled in all, for Make, which prints per cents only.
 */
export function parseStep(line: string, files: number): BuildStep | undefined {
  const ninja = NINJA_STEP.exec(line)
  if (ninja) return { done: Number(ninja[1]), total: Number(ninja[2]) }
  const make = MAKE_STEP.exec(line)
  if (!make || files === 0) return undefined
  return { done: Math.round((Number(make[1]) / 100) * files), total: files }
}

const COMPILER_ERROR = /(^|[:\s])(fatal |internal compiler )?error:/i
const LINKER_ERROR =
  /: undefined reference to |: multiple definition of |cannot find -l|^collect2: |: undefined symbol: /
const CMAKE_ERROR = /^CMake Error\b/
const CMAKE_JS_ERROR = /^ERROR OMG (?!Process terminated)/
/** Lines of the same message: the source, the caret, the template arguments, where it came from. */
const CONTINUATION = /^\s|: note: |^In file included from/
/** What comes before an error and says where: kept only when an error follows. */
const PREAMBLE = /^In file included from|^\s+from |: In (member )?function |: In instantiation of /
const STEP_OR_SUMMARY = /^\[ *\d+[%/]|^ninja: |^g?make(\[\d+\])?: |^FAILED: |^-- /

const MAX_LINES = 60
const FALLBACK_LINES = 20

/** The errors of a failed build, at most 60 lines; its last 20 lines when none is recognized. */
export function extractErrors(output: string): string {
  const lines = output.replaceAll('\r', '').split('\n')
  const kept: string[] = []
  let preamble: string[] = []
  let state: 'outside' | 'error' | 'cmake' = 'outside'
  for (const line of lines) {
    if (CMAKE_ERROR.test(line)) {
      kept.push(line)
      state = 'cmake'
    } else if (state === 'cmake' && (line === '' || line.startsWith('  '))) {
      if (line !== '') kept.push(line)
    } else if (isError(line)) {
      kept.push(...preamble, line)
      preamble = []
      state = 'error'
    } else if (STEP_OR_SUMMARY.test(line)) {
      preamble = []
      state = 'outside'
    } else if (PREAMBLE.test(line)) {
      preamble.push(line)
      state = 'outside'
    } else if (state === 'error' && CONTINUATION.test(line)) {
      kept.push(line)
    } else {
      state = 'outside'
    }
  }
  if (kept.length === 0)
    return lines.join('\n').trimEnd().split('\n').slice(-FALLBACK_LINES).join('\n')
  if (kept.length <= MAX_LINES) return kept.join('\n')
  return [...kept.slice(0, MAX_LINES), `... and ${kept.length - MAX_LINES} more lines`].join('\n')
}

/** Whether the system ended the compiler, which is nearly always for want of memory. */
export function wasKilled(output: string): boolean {
  return /Killed signal terminated program|: Killed\b|signal 9\b/.test(output)
}

function isError(line: string): boolean {
  return (
    !STEP_OR_SUMMARY.test(line) &&
    (COMPILER_ERROR.test(line) || LINKER_ERROR.test(line) || CMAKE_JS_ERROR.test(line))
  )
}

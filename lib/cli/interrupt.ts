// Ctrl-C: the first one asks the work to stop, the second ends the process at once. The library
// itself installs no signal handlers.
import process from 'node:process'
import { worldSize } from '../distributed/group.js'
import { isTeller, warn } from './command.js'

/**
 * Runs `work` with a signal that SIGINT and SIGTERM abort. Work that ends because of it makes the
 * command exit with 130.
 */
export async function untilInterrupted(
  work: (signal: AbortSignal) => Promise<void>,
  message: string | (() => string) = 'interrupted',
): Promise<void> {
  const controller = new AbortController()
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort()
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  try {
    await work(controller.signal)
  } catch (error) {
    // What went wrong meanwhile is told, interrupted or not: a checkpoint that could not be kept.
    // Of several ranks one may have been told, and all end behind the same step.
    const isInterrupted = controller.signal.aborted || worldSize() > 1
    if (!isInterrupted || !isAbort(error)) throw error
    if (isTeller()) warn(`localformer: ${typeof message === 'string' ? message : message()}`)
    process.exitCode = 130
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

/** The signal's reason, or what Node's own functions make of it. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || isAbort(error.cause))
}

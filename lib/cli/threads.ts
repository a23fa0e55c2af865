// `--threads` of commands whose other options are no configuration.
import type { Options } from 'yargs'
import { expected, LocalformerError } from '../base/errors.js'
import { integer } from '../base/validate.js'
import { setThreads } from '../device/threads.js'

export interface ThreadArguments {
  threads: number | undefined
}

const MOST_THREADS = 4096

export const threadsOption = {
  threads: {
    type: 'number',
    requiresArg: true,
    describe: 'Threads of one operation; default: the physical cores that this process may use',
  },
} as const satisfies Readonly<Record<string, Options>>

/** @throws {LocalformerError} `ERR_CONFIG` where they are no number of threads. */
export function checkThreads(threads: number | undefined): void {
  if (threads === undefined || integer(1, MOST_THREADS).safeParse(threads).success) return
  const what = `a whole number from 1 to ${MOST_THREADS}`
  throw new LocalformerError('ERR_CONFIG', expected(what, 'threads', threads))
}

/** From now on operations of this process take so many. */
export function useThreads({ threads }: ThreadArguments): void {
  checkThreads(threads)
  if (threads !== undefined) setThreads(threads)
}

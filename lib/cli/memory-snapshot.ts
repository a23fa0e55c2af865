// The flag of the commands that can write down what memory was taken for.
import type { Options } from 'yargs'
import type { WrittenSnapshot } from '../device/memory.js'
import { type GlobalOptions, note, warn } from './command.js'
import { checkOutputFile } from './output-file.js'

const OPTION = '--memory-snapshot'

export const memorySnapshotOption = {
  'memory-snapshot': {
    type: 'string',
    requiresArg: true,
    describe:
      'File that receives every allocation, for pytorch.org/memory_viz and `memory summarize`',
  },
} as const satisfies Readonly<Record<string, Options>>

/** What a handler finds of {@link memorySnapshotOption}. */
export interface MemorySnapshotArguments {
  memorySnapshot: string | undefined
}

/** @throws {LocalformerError} `ERR_CONFIG` where it cannot be written. */
export async function checkMemorySnapshot({
  memorySnapshot,
}: MemorySnapshotArguments): Promise<void> {
  if (memorySnapshot !== undefined) await checkOutputFile(memorySnapshot, OPTION)
}

export function tellSnapshot(
  options: GlobalOptions,
  file: string,
  isComplete: WrittenSnapshot['isComplete'] | null,
): void {
  note(options, `Memory snapshot ${file}`)
  if (isComplete === false) {
    warn(`The oldest events are not in ${file}: there were more than it has room for`)
  }
}

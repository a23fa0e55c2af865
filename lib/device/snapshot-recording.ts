// Work whose memory is recorded into one file, however the work ends.
import { dumpSnapshot, recordMemoryHistory, type WrittenSnapshot } from './memory.js'

/** Writes the file and ends the recording; called again it gives what was written. Nothing without a file. */
export type WriteSnapshot = () => Promise<WrittenSnapshot | undefined>

/**
 * Does work with the memory of `device` recorded into a file; without a file only the work. Work calls
 * `write` while what it made is alive; where it fails before, what is left then is written.
 */
export async function recordingMemory<T>(
  file: string | undefined,
  device: string,
  work: (write: WriteSnapshot) => Promise<T>,
): Promise<T> {
  if (file === undefined) return work(async () => undefined)
  recordMemoryHistory({}, device)
  let written: Promise<WrittenSnapshot> | undefined
  const write = () => {
    written ??= dumpSnapshot(file, device).finally(() =>
      recordMemoryHistory({ enabled: false }, device),
    )
    return written
  }
  let result: T
  try {
    result = await work(write)
  } catch (error) {
    // What the work failed of is told, not that its record could not be written either.
    await write().catch(() => undefined)
    throw error
  }
  await write()
  return result
}

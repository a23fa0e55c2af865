// Where weights are meant: a file of them, or a run folder or one of its checkpoints.
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { WEIGHTS_FILE } from '../base/run-files.js'

/** The file itself; of a run folder that of its newest weights. */
export async function weightsFileOf(place: string): Promise<string> {
  const isFolder = await stat(place).then(
    (entry) => entry.isDirectory(),
    () => false,
  )
  return isFolder ? path.join(place, WEIGHTS_FILE) : place
}

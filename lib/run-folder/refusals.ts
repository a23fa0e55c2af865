// Files of a run folder that are not what a run wrote.
import { LocalformerError } from '../base/errors.js'
import { RUN_SCHEMA } from '../base/run-files.js'

export function damaged(message: string, cause?: unknown): LocalformerError {
  return new LocalformerError('ERR_CHECKPOINT', message, { cause })
}

/** A file of a run folder with another layout. */
export function otherSchema(file: string, schema: unknown): LocalformerError {
  return new LocalformerError(
    'ERR_CHECKPOINT',
    `${file} has the layout ${String(schema)} of run folders; this version reads ${RUN_SCHEMA}`,
    {
      hint: 'Go on with the version that wrote it, or begin a new run with its weights: --init FILE.',
    },
  )
}

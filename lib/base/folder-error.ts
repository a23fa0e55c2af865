// What the file system refused while a run was being kept, as one coded error.
import { LocalformerError } from './errors.js'

const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full.',
  EDQUOT: 'The quota of the disk is used up.',
  EFBIG: 'The file is larger than it may be (ulimit -f).',
  EROFS: 'The file system is read-only.',
  EACCES: 'The folder is not writable.',
}

/** `ERR_CHECKPOINT` for a file or folder that could not be written. */
export function folderError(place: string, cause: unknown): LocalformerError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const { code = '' } = (cause ?? {}) as NodeJS.ErrnoException
  return new LocalformerError('ERR_CHECKPOINT', `${place} could not be written: ${reason}`, {
    cause,
    hint: `${ADVICE[code] ?? ''} The checkpoints that were there are untouched.`.trim(),
    details: { file: place },
  })
}

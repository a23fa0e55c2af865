// An error on its way from one process to another. in: an error -> out: a message; and back
import { type ErrorCode, LocalformerError } from './errors.js'

export interface ErrorMessage {
  readonly type: 'error'
  readonly code: string
  readonly message: string
  readonly hint?: string
}

/** What is no error of this package is told as `ERR_TORCH`. */
export function errorMessageOf(error: unknown): ErrorMessage {
  const known = error instanceof LocalformerError
  const message = error instanceof Error ? error.message : String(error)
  const hint = known ? error.hint : undefined
  return {
    ...{ type: 'error', code: known ? error.code : 'ERR_TORCH', message },
    ...(hint === undefined ? {} : { hint }),
  }
}

/** @param before What stands before its text. */
export function errorFrom({ code, message, hint }: ErrorMessage, before = ''): LocalformerError {
  const options = hint === undefined ? {} : { hint }
  return new LocalformerError(code as ErrorCode, `${before}${message}`, options)
}

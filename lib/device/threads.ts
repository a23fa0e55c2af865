// How many threads one operation of LibTorch uses.
import { expected, LocalformerError } from '../base/errors.js'
import { callNative, loadTorch } from '../native/load.js'

/**
 * Threads of an operation; default: LibTorch's, the number of physical cores (or `OMP_NUM_THREADS`), and no
 * more than the cores whose time this process's control group allows.
 */
export function getThreads(): number {
  return callNative(() => loadTorch().threads())
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function setThreads(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > 4096) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('a whole number from 1 to 4096', 'count', count),
    )
  }
  callNative(() => loadTorch().setThreads(count))
}

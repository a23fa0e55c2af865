// The file that weights are written to: always safetensors, whatever its name would have it be.
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { checkFile } from '../base/validate.js'

const EXTENSION = '.safetensors'

/** @throws {LocalformerError} `ERR_CONFIG` for what is no name, or one that says another format. */
export function checkOutput(file: unknown, name: string): asserts file is string {
  checkFile(file, name)
  const extension = path.extname(file)
  if (extension === '' || extension.toLowerCase() === EXTENSION) return
  throw new LocalformerError(
    'ERR_CONFIG',
    `Weights are written as safetensors, not as ${extension}: ${file}`,
    { hint: `Name it ${path.basename(file, extension)}${EXTENSION}.` },
  )
}

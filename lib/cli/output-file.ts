// The file of --output (or another option): looked at before the work that fills it, written whole or not at all.
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { writeFileAtomically } from '../base/files.js'

/**
 * @param extension Of what is written, where a name must not say another format: `.png`.
 * @throws {LocalformerError} `ERR_CONFIG` where its folder is missing or cannot be written.
 */
export async function checkOutputFile(
  file: string,
  option = '--output',
  extension?: string,
): Promise<void> {
  const own = path.extname(file)
  if (extension !== undefined && own !== '' && own.toLowerCase() !== extension) {
    throw outputError(file, option, `it is written as ${extension}, not as ${own}`)
  }
  const folder = path.dirname(path.resolve(file))
  const isFolder = await stat(folder).then(
    (entry) => entry.isDirectory(),
    () => false,
  )
  if (!isFolder) throw outputError(file, option, `there is no folder ${folder}`)
  // Renamed into place, so that the folder has to be writable and not the file.
  await access(folder, constants.W_OK | constants.X_OK).catch((cause: Error) => {
    throw outputError(file, option, `the folder ${folder} is not writable`, cause)
  })
  const isTaken = await stat(file).then(
    (entry) => entry.isDirectory(),
    () => false,
  )
  if (isTaken || file === '') throw outputError(file, option, 'it is a folder')
}

/** @throws {LocalformerError} `ERR_CONFIG` where it cannot be written. */
export async function writeOutputFile(
  file: string,
  content: string | Uint8Array,
  option = '--output',
): Promise<void> {
  await writeFileAtomically(path.resolve(file), content).catch((cause: Error) => {
    throw outputError(file, option, cause.message, cause)
  })
}

function outputError(
  file: string,
  option: string,
  reason: string,
  cause?: Error,
): LocalformerError {
  return new LocalformerError(
    'ERR_CONFIG',
    `The file ${JSON.stringify(file)} of ${option} cannot be written: ${reason}`,
    { hint: `Name another one with ${option}.`, cause },
  )
}

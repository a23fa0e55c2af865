// A JavaScript module of the user's -> the data set that it exports, for the command line.
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { expected, LocalformerError } from '../base/errors.js'
import { isThere } from '../base/files.js'
import { type Dataset, type DatasetDefinition, defineDataset } from './dataset.js'

/**
 * Runs a module and takes its default export: a data set (of `defineDataset`), or a function that gives
 * one, at once or as a promise.
 *
 * @param file Path of an ES or CommonJS module.
 * @throws {LocalformerError} `ERR_DATASET` where it cannot be run or exports no data set.
 */
export async function openDataModule(file: string): Promise<Dataset> {
  const place = path.resolve(file)
  if (!(await isThere(place))) {
    throw new LocalformerError('ERR_DATASET', `There is no module ${place}`, {
      hint: 'Name a JavaScript file whose default export is a data set.',
    })
  }
  let exported: unknown
  try {
    const module = (await import(pathToFileURL(place).href)) as { default?: unknown }
    exported = module.default
    if (typeof exported === 'function') exported = await exported()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new LocalformerError('ERR_DATASET', `The module ${place} failed: ${reason}`, { cause })
  }
  if (typeof exported !== 'object' || exported === null) {
    throw new LocalformerError(
      'ERR_DATASET',
      expected('a data set', `${place}: default`, exported),
      {
        hint: 'export default defineDataset({ name, classes, train, test })',
      },
    )
  }
  // Checked like one that is made here: it may be written by hand.
  return defineDataset(exported as DatasetDefinition)
}

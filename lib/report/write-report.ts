// Run folders -> report.html, written whole or not at all.
import path from 'node:path'
import { expected, LocalformerError } from '../base/errors.js'
import { writeFileAtomically } from '../base/files.js'
import { REPORT_FILE } from '../base/run-files.js'
import { checkFile, checkKeys, entriesOf, readArgument } from '../base/validate.js'
import { comparisonReport } from './comparison-report.js'
import { readRun } from './run-data.js'
import { runReport } from './run-report.js'

export interface WriteReportOptions {
  /** File to write; default: report.html in the run's folder, of several runs comparison.html here. */
  readonly output?: string
}

/**
 * Writes what happened in a run, or in several ones side by side, as one HTML file that needs
 * neither network nor script. Gives its path. A run that is still going on is shown as far as it is.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for a folder that is no run's, or a file that cannot be
 *   written.
 */
export async function writeReport(
  runFolder: string | readonly string[],
  options: WriteReportOptions = {},
): Promise<string> {
  const folders = readArgument('runFolder', () => checkFolders(runFolder))
  const [first] = folders
  checkKeys(options, 'options', ['output'])
  const given = readArgument('options', () => options.output)
  if (given !== undefined) checkFile(given, 'output')
  const runs = await Promise.all(folders.map(readRun))
  const isOne = runs.length === 1
  const output = given ?? (isOne ? path.join(first, REPORT_FILE) : 'comparison.html')
  const html = isOne ? runReport(runs[0] as (typeof runs)[number]) : comparisonReport(runs)
  const file = path.resolve(output)
  try {
    await writeFileAtomically(file, html)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new LocalformerError('ERR_CONFIG', `${file} cannot be written: ${reason}`, { cause })
  }
  return file
}

function checkFolders(given: unknown): readonly [string, ...string[]] {
  const folders = Array.isArray(given) ? entriesOf(given) : [given]
  if (folders === undefined) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected('fewer run folders', 'run', (given as unknown[]).length),
    )
  }
  for (const folder of folders)
    checkFile(folder, 'runFolder', 'the name of a run folder, or a list')
  if (folders.length > 0) return folders as [string, ...string[]]
  throw new LocalformerError('ERR_CONFIG', expected('at least one run folder', 'run', folders))
}

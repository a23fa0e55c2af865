// `train --resume`: the options of a run as they are kept in its folder, and back again.
import { isDeepStrictEqual } from 'node:util'
import { Parser } from 'yargs/helpers'
import { LocalformerError } from '../errors.js'
import { readRunConfig } from '../runs/run-folder.js'

/** Of this call alone, and not of the run. */
const OF_THE_CALL = ['json', 'quiet', 'resume', 'overwrite', 'runDir', '$0', '_']
/** Decide no number: they may be given anew. */
const FREE = ['device', 'checkpointEvery', 'checkpointSteps']

type Arguments = Readonly<Record<string, unknown>>

/** What a run folder keeps of a command's options. */
export function recordedArguments(options: object): Arguments {
  const entries = Object.entries(options).filter(
    ([name, value]) => value !== undefined && !name.includes('-') && !OF_THE_CALL.includes(name),
  )
  return Object.fromEntries(entries)
}

/**
 * The options of the run in `folder`, with what was given now and is free to differ.
 *
 * @param argv The command line.
 * @throws {LocalformerError} `ERR_CHECKPOINT` where the folder holds no run; `ERR_CONFIG` that names
 *   each option that was given and is another one in the run.
 */
export async function resumedArguments<T extends object>(
  options: T,
  folder: string,
  argv: readonly string[],
): Promise<T> {
  const { arguments: kept } = await readRunConfig(folder)
  if (typeof kept !== 'object' || kept === null) {
    throw new LocalformerError(
      'ERR_CHECKPOINT',
      `The config.json of ${folder} lacks the options of its run`,
      {
        hint: 'It was made by another version; begin the run anew with --overwrite.',
      },
    )
  }
  const run = kept as Arguments
  const now = recordedArguments(options)
  const given = Object.keys(Parser([...argv])).filter((name) => name in now)
  const differing = given.filter(
    (name) => !FREE.includes(name) && !isDeepStrictEqual(now[name], run[name]),
  )
  if (differing.length > 0) {
    const told = differing.map(
      (name) =>
        `--${hyphenated(name)} was ${JSON.stringify(run[name])} and is ${JSON.stringify(now[name])}`,
    )
    throw new LocalformerError(
      'ERR_CONFIG',
      `The run of ${folder} was begun otherwise: ${told.join('; ')}`,
      {
        hint: 'With --resume the options are those of the run; leave the others out.',
      },
    )
  }
  const free = given.filter((name) => FREE.includes(name))
  const anew = Object.fromEntries(free.map((name) => [name, now[name]]))
  return { ...options, ...run, ...anew, runDir: folder }
}

function hyphenated(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

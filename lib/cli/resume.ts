// `train --resume`: the configuration of a run as its folder keeps it, with what may be given anew.
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { LocalformerError } from '../base/errors.js'
import { type ConfigFile, readConfigFile } from '../config/file.js'
import { resolveLayers } from '../config/resolve.js'
import type { TrainingConfig } from '../config/schema.js'
import { type ConfigArguments, configFlags, configOver, valueAt } from './config-flags.js'

/** Decide no number, or only its last digits, which is told: they may be given anew. */
const FREE = ['device', 'threads', 'checkpoint-every', 'checkpoint-steps']

/**
 * The configuration of the run in `folder`, with what was given now and is free to differ.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` where the folder holds no run; `ERR_CONFIG` that names
 *   each option that was given and is another one in the run.
 */
export async function resumedConfig(
  argv: ConfigArguments,
  folder: string,
): Promise<TrainingConfig> {
  const file = await readRun(folder)
  const before = resolveLayers([file.config], file.placeOf)
  const now = configOver(file, argv)
  const told = [...configFlags()].flatMap(([name, { path: at }]) => {
    const [was, is] = [before, now].map((config) => located(name, valueAt(config, at)))
    if (FREE.includes(name) || isDeepStrictEqual(was, is)) return []
    return [`--${name} was ${JSON.stringify(was)} and is ${JSON.stringify(is)}`]
  })
  if (told.length === 0) return now
  throw new LocalformerError(
    'ERR_CONFIG',
    `The run of ${folder} was begun otherwise: ${told.join('; ')}`,
    { hint: 'With --resume the options are those of the run; leave the others out.' },
  )
}

/** A place as the run folder keeps it, wherever the command runs. */
function located(name: string, value: unknown): unknown {
  const isPlace = name === 'data-dir' || name === 'init'
  return isPlace && typeof value === 'string' ? path.resolve(value) : value
}

async function readRun(folder: string): Promise<ConfigFile> {
  try {
    return await readConfigFile(path.join(folder, 'config.json'))
  } catch (cause) {
    if (!(cause instanceof LocalformerError)) throw cause
    throw new LocalformerError('ERR_CHECKPOINT', `${folder} holds no run: ${cause.message}`, {
      cause,
      hint: 'Name the folder of a run, e.g. runs/paper-4-20260101-120000.',
    })
  }
}

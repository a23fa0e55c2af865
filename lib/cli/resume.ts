// `train --resume`: the configuration of a run as its folder keeps it, with what may be given anew.
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { LocalformerError } from '../base/errors.js'
import type { TrainingConfig } from '../config/schema.js'
import { type ResumeChanges, readRunConfig } from '../runs/run-config.js'
import { type ConfigArguments, configFlags, configOver, valueAt } from './config-flags.js'

/** Decide no number, or only its last digits, which is told, or only how long it goes on. */
const FREE: Readonly<Record<string, keyof ResumeChanges>> = {
  device: 'device',
  threads: 'threads',
  'checkpoint-every': 'checkpointEvery',
  'checkpoint-steps': 'checkpointSteps',
  epochs: 'epochs',
  'max-steps': 'maxSteps',
  patience: 'patience',
}

export interface Resumed {
  readonly config: TrainingConfig
  /** What was given and may differ. */
  readonly changes: ResumeChanges
  /** Is it to be longer, or more patient, than it was? */
  readonly isLonger: boolean
}

/**
 * The configuration of the run in `folder`, with what was given now and is free to differ.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` where the folder holds no run; `ERR_CONFIG` that names
 *   each option that was given and is another one in the run.
 */
export async function resumed(argv: ConfigArguments, folder: string): Promise<Resumed> {
  const before = await readRunConfig(folder)
  const { config: now } = configOver({ config: before as object, placeOf: () => undefined }, argv)
  const told: string[] = []
  const changes: Record<string, unknown> = {}
  let isLonger = false
  for (const [name, { path: at }] of [
    ...configFlags(),
    ['device', { path: ['device'] }] as const,
  ]) {
    const [was, is] = [before, now].map((config) => located(name, valueAt(config, at)))
    if (isDeepStrictEqual(was, is)) continue
    const free = FREE[name]
    if (free === undefined) {
      told.push(`--${name} was ${JSON.stringify(was)} and is ${JSON.stringify(is)}`)
      continue
    }
    changes[free] = is
    if (['epochs', 'maxSteps', 'patience'].includes(free)) isLonger = true
  }
  if (told.length === 0) return { config: now, changes: changes as ResumeChanges, isLonger }
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

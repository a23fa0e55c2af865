// Which weights of a run a command takes: its latest, or those of one of its checkpoints.
import { stat } from 'node:fs/promises'
import path from 'node:path'
import type { Options } from 'yargs'
import { LocalformerError } from '../base/errors.js'
import { BEST, CHECKPOINTS_FOLDER, CONFIG_FILE, LAST, WEIGHTS_FILE } from '../base/run-files.js'
import { object, readJson, text } from '../report/json.js'

const CHECKPOINTS = [LAST, BEST] as const

export const weightsOption = {
  weights: {
    choices: CHECKPOINTS,
    requiresArg: true,
    defaultDescription: 'those of the run folder itself',
    describe: 'Weights of a checkpoint of the run',
  },
} as const satisfies Readonly<Record<string, Options>>

export interface WeightsArguments {
  weights: (typeof CHECKPOINTS)[number] | undefined
}

/**
 * What `loadRun` is to read.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` where the run has no such checkpoint.
 */
export async function placeOfWeights(run: string, { weights }: WeightsArguments): Promise<string> {
  if (weights === undefined) return run
  const file = path.join(run, CHECKPOINTS_FOLDER, weights, WEIGHTS_FILE)
  await stat(file).catch((cause: Error) => {
    throw new LocalformerError('ERR_CHECKPOINT', `The run ${run} has no checkpoint ${weights}`, {
      hint: `Looked for ${file}. Leave out --weights for the latest weights.`,
      cause,
    })
  })
  return file
}

/** Where the images of a run were, as its folder keeps it; undefined where it says nothing. */
export async function dataDirOf(run: string): Promise<string | undefined> {
  // Not read as a configuration: that of a script with a loop of its own is none.
  const config = object(await readJson(path.join(run, CONFIG_FILE)))
  return text(object(config.dataset).dataDir)
}
